"""Photos without captions and captions without photos, from extraction to evaluation."""


def test_each_side_without_the_other_is_counted(workspace):
    photos = sorted(path.name for path in (workspace.corpus / "images").iterdir())
    lists = {
        name: (workspace.corpus / f"sample.{name}Images.txt").read_text().split() for name in ("train", "dev", "test")
    }
    vanished, broken, silent = lists["train"][:3]
    unread = lists["test"][0]
    (workspace.corpus / "images" / vanished).unlink()
    (workspace.corpus / "images" / broken).write_bytes(b"broken")
    (workspace.corpus / "images" / unread).write_bytes(b"broken")
    captions = workspace.corpus / "sample.token.txt"
    captions.write_text("".join(line for line in captions.open() if not line.startswith(silent)))

    workspace.overrides.append("storage.format=parquet")
    extracted = workspace.run("extract_features")
    assert (extracted.rows_in, extracted.written, extracted.quarantined) == (39, 37, 2)
    tokenized = workspace.run("tokenize_captions")
    assert (tokenized.rows_in, tokenized.written, tokenized.quarantined) == (195, 190, 5)
    assert set(workspace.reasons("tokenize_captions").values()) == {"unknown_photo"}
    built = workspace.run("build_examples")
    assert workspace.reasons("build_examples") == {
        broken: "captions_without_features",
        silent: "photo_without_captions",
    }
    assert (built.written, built.quarantined) == (len(lists["train"]) - 3 + len(lists["dev"]), 2)
    assert len(photos) == 40

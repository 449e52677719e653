import string
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from udfs.captioner import words as module
from udfs.captioner.words import join_words, plain_text, scored_words, words_of

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # an emoji of three, joined by U+200D


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's ball, on grass!", "a dogs ball on grass"),
        ("and/or", "and or"),
        ("grass.A dog", "grass a dog"),
        ("dog—running, cat–sleeping--there", "dog running cat sleeping there"),
        ("A tri-colored dog in a t‑shirt", "a tricolored dog in a tshirt"),
        ("dog’s dogʼs dog's dog‘s", "dogs dogs dogs dogs"),
        ("the dogs' toys 'til 10 o'clock", "the dogs toys til 10 oclock"),
        ("S.C.U.B.A. in Washington D.C. and the U.S.", "scuba in washington dc and the us"),
        ("10,000 people, 2.5 dogs at 10:30", "10000 people 25 dogs at 10 30"),
        ("snake_case", "snakecase"),
        ("e\u0301te\u0301 \u00e9t\u00e9", "\u00e9t\u00e9 \u00e9t\u00e9"),
        ("l'été à col·lecció", "lété à collecció"),
        ("dog\ufe0f \u200d \ufeff \u00ad d\u00adog \u2060cat\u200e", "dog dog cat"),
        ("dog\u200bcat", "dog cat"),
        ("می‌خواهم", "میخواهم"),
        (f"a dog🐕runs {FAMILY} ❤️ 👍🏽 1️⃣ 🇩🇪", "a dog runs 1"),
        ("घास पर दौड़ता हुआ कुत्ता।", "घास पर दौड़ता हुआ कुत्ता"),
        ("كَلْبٌ يَجْرِي، هُنَا", "كَلْبٌ يَجْرِي هُنَا"),
        ('צה"ל', "צהל"),
        ("Der Straßenhund läuft", "der straßenhund läuft"),
        ("ΣΚΥΛΟΣ Σκύλος", "σκυλος σκύλος"),
        ("개가 잔디에서 뛴다.", "개가 잔디에서 뛴다"),
        ("一只狗，在草地上。", "一 只 狗 在 草 地 上"),
        ("犬がボールで遊ぶTシャツ", "犬 が ボール で 遊 ぶ t シャツ"),
        ("สุนัขวิ่ง บนหญ้า 3ตัว", "สุนัขวิ่ง บนหญ้า 3 ตัว"),
        ("\u0301 a \u0903", "a"),
        ("\u200d\ufe0f", ""),
        (" . , ! ", ""),
        ("", ""),
    ],
)
def test_words(text, words):
    assert words_of(text) == words.split()


@given(st.text())
def test_composed_and_decomposed_text_have_equal_words(text):
    assert (
        words_of(unicodedata.normalize("NFC", text)) == words_of(unicodedata.normalize("NFD", text)) == words_of(text)
    )


@given(st.text())
def test_words_stay_as_they_are(text):
    words = words_of(text)
    assert words_of(" ".join(words)) == words
    assert scored_words(words_of(join_words(words))) == scored_words(words)
    assert all(regex.fullmatch(r"[\p{L}\p{N}][\p{L}\p{N}\p{Mn}\p{Mc}]*", word) for word in words)
    assert not any(regex.search(r"\p{DI}", word) for word in words)


@given(st.text(alphabet=string.printable))
def test_the_quick_way_for_ascii_gives_the_same_words(text):
    assert words_of(text) == words_of(f"{text} é")[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "Ein Hund läuft über die nasse Straße , während Kinder zusehen .",
        "Собака бежит по траве , а дети смотрят .",
        "एक भूरा कुत्ता घास पर दौड़ रहा है ।",
        "كَلْبٌ بُنِّيٌّ يَجْرِي عَلَى العُشْبِ .",
        "一只棕色的狗在草地上奔跑，嘴里叼着球。",
        "カメラを持つ人、テーブルの横。",
        "개가 잔디에서 공을 쫓고 있다 .",
        "Con chó nâu chạy trên bãi cỏ .",
    ],
)
def test_words_have_the_boundaries_of_uax_29(text):
    parts = regex.split(r"(?w)\b", unicodedata.normalize("NFC", text).lower(), flags=regex.V1)
    assert words_of(text) == [part for part in parts if regex.match(r"[\p{L}\p{N}]", part)]


def test_text_without_spaces_stays_together_for_subwords():
    assert plain_text("一只狗，在 草地上 dog's") == "一只狗 在 草地上 dogs"
    assert plain_text("A Dog, running") == "a dog running"


def test_words_become_text():
    assert join_words(["a", "dog", "runs"]) == "a dog runs"
    assert join_words(["一", "只", "dog", "狗", "が", "ボール"]) == "一只 dog 狗がボール"


def test_writing_without_spaces_is_scored_in_characters_as_sacrebleu_does():
    from sacrebleu.tokenizers.tokenizer_char import TokenizerChar
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    chinese, thai = plain_text("一只狗，在3个人的草地上 dog"), plain_text("สุนัขวิ่ง บนหญ้า")
    assert " ".join(scored_words(words_of(chinese))) == " ".join(TokenizerZh()(chinese).split())
    assert " ".join(scored_words(words_of(thai))) == " ".join(TokenizerChar()(thai).split())
    assert scored_words(["a", "dog", "草", "ボール"]) == ["a", "dog", "草", "ボ", "ー", "ル"]


def test_the_number_of_the_rules_is_raised_with_them():
    """These words belong to NORMALISATION 2. A change of the rules raises the number, so that the fingerprints differ."""
    assert module.NORMALISATION == 2
    assert words_of("A.B. a/b-c d’e 1,5 é") == ["ab", "a", "bc", "de", "15", "é"]

"""What must hold in a job's processes: checked quickly when a job begins, and thoroughly by `jobs/doctor.py`."""

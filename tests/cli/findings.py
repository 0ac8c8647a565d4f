"""What `sealmq broker check` found."""


def of_files(findings):
    """Without those of the versions that happen to be installed here: a machine may lag behind, and check is right to say
    so; tests of versions have their own (tests/unit/test_judge_version.c)."""
    return [f for f in findings if f['rule'] != 'version']

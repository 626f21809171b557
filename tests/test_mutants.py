from tests.mutants import changed, changes


def test_the_old_text_of_every_listed_change_stands_once_in_its_module():
    every = changes()
    assert len(every) >= 150 and len({(c["module"], c["old"], c["new"]) for c in every}) == len(every)
    for change in every:
        assert change["old"] != change["new"] and changed(change)  # raises ValueError with the entry to mend

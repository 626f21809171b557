"""What a table carries in its `attrs` beside its columns, so that the table can still be stored and copied."""


class Carried(str):
    """An object among the `attrs` of a DataFrame; its attributes are the object's own, and `value` is the object.

    pandas copies attrs at every step and stores them as JSON (`to_parquet`), where arrays have no place: a copy of this is
    the same object, and in JSON it is a text that says of which class it was.
    """

    def __new__(cls, value):
        carried = super().__new__(cls, f"{type(value).__name__}, not stored")
        carried.value = value
        return carried

    def __getattr__(self, name):
        return getattr(self.value, name)

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Carried, (self.value,)

    # two are equal if they are the same: pandas compares what tables carry
    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

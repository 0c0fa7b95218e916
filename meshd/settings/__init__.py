"""The settings of an instance: what each is called, what it may be, what it means."""

"""The commands: each reads its arguments, does one thing through a module beside this package and shows it."""

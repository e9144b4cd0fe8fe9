"""`python -m lstm_research` is `lstm-research`."""

from lstm_research.cli import entry

if __name__ == "__main__":
    entry()

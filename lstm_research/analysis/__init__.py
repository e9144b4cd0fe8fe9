"""What a trained recurrence does: pure functions of its weights and of a batch."""

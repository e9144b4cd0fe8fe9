"""The parts of `experiments/odyssey.py`: what is drawn, what the runs came to, what that says of the paper.

`draws` names the runs, `outcome` compares the variants, `claims` holds the paper's conclusions to the
numbers, `tables` and `pictures` show both.
"""

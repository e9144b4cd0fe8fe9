"""The parts of `experiments/speed.py`: who runs, in which process, in which order, against which limit.

`rivals` carries one set of weights into every library; `jax_jobs`, `torch_jobs`, `onnx_jobs` and
`products` make a call of each; `worker` holds calls in a process of their own; `turns` lets them take
turns; `sections` says who meets whom; `launches` measures whole processes; `tables` and `picture` draw.
"""

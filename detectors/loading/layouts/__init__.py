"""A layout is a module that says how its files are recognised and what is made of them. Each has:

NAME: in reports and messages. SUBJECTS: kinds of model that it can build. OPTIONS: of --arch, that
apply to it. TENSORS: what it is known by, for people.
matches(weights) -> bool. build(weights, task, arch) -> (network, names of tensors that it does not use), with the task
None while it is still to be inferred, and arch the options of `recognise.parse_options`.
"""

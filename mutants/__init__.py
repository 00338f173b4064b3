"""Plants defects in a copy of the tree, one at a time, and says which of them no test notices.

Two kinds: those that are drawn from the source by a seed (`python`, `sql`, `drawing`), and those in `by_hand.toml`,
which an engineer might make where two things meet. The tests most likely to notice run first: those that run the
changed line, according to notes that `tracing` takes once.

mutmut and cosmic-ray were looked at first. Neither changes `.sql` files, in which half of the stores is written. mutmut
replaces each function by one that chooses among its variants, which the checks of signatures and annotations here
refuse. cosmic-ray starts the test command again for each defect, and collecting these tests takes longer than those
that notice. Here the tests are collected once, and each defect is planted in a fork of that process (`nursery`).
"""

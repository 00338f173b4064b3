"""`twofold` as a process that dies with the one that started it."""

from torture.member import die_with_the_torturer
from twofold_start import main

if __name__ == "__main__":
    die_with_the_torturer()
    main()

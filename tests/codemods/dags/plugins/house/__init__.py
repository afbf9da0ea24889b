from .operators import HousePython, Loader

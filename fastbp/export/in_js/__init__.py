"""Models as JavaScript: their gates, printed.

text.py              numbers, strings, comments and names
table.py             gates of numbers as expressions
functions.py         functions that gates call
order.py             which gates are computed when
gates.py             gates as statements
network.py           the networks of a model: `compute` and `derive`, and the numbers of their parameters
recipe.py            steps of recipes
recipe_functions.py  functions that steps call
tables.py            what models with recipes predict
traced.py            traced functions
"""

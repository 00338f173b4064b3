"""What is generated from an Api, put to use: a client in TypeScript, and requests made from the OpenAPI document.

rooms.py       an App with every kind of field, camelCase, numbers, two users and rows of their own
documents.py   the OpenAPI documents of the quickstart and of the rooms
typescript.py  `./dev typescript`: types for each document, and a client that must compile strictly
fuzz.py        `./dev fuzz --generated`
"""

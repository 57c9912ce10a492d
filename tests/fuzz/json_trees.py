"""Changes of one node of a JSON document, anywhere in it."""

import copy
from collections.abc import Iterator


def _places(node: object, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all nodes of a tree below its root."""
    children = ()
    if isinstance(node, dict):
        children = list(node.items())
    if isinstance(node, list):
        children = list(enumerate(node))
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def mutated(tree: dict, place: float, what: str, value: object) -> object:
    """Change one node of a tree.

    Arguments
    ---------
    tree : dict
        The tree, which stays as it is.
    place : float
        Which node, as a share of all.
    what : str
        ``replace``, ``remove``, ``wrap`` into a list, or ``add`` beside it.
    value : object
        What is put there.

    Returns
    -------
    object
        The changed copy.
    """
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return tree
    *above, key = places[int(place * (len(places) - 1))]
    parent = tree
    for step in above:
        parent = parent[step]
    if what == "replace":
        parent[key] = value
    elif what == "remove":
        del parent[key]
    elif what == "wrap":
        parent[key] = [parent[key]]
    elif isinstance(parent, dict):
        parent[str(value)] = value
    else:
        parent.append(value)
    return tree

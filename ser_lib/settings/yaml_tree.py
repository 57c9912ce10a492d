"""Trees of settings as ruamel.yaml reads them: their tags, and copies without."""

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

_MOST_LEVELS = 50
_MOST_NODES = 100_000


def tag_of(node: Any) -> str:
    """Give the own tag of a node, such as ``!new:torch.nn.Linear``, or nothing.

    Arguments
    ---------
    node : Any
        A node of a tree.

    Returns
    -------
    str
        The tag.

    Example
    -------
    >>> from ruamel.yaml import YAML
    >>> tree = YAML().load("{a: !ref <b>, b: 1}")
    >>> tag_of(tree["a"]), tag_of(tree["b"])
    ('!ref', '')
    """
    tag = getattr(node, "tag", None)
    return str(tag.value) if tag is not None and tag.value else ""


def check_size(tree: Any, name: str) -> None:
    """Refuse a tree that is too deep or too large to be walked through.

    With aliases, a few lines can stand for more nodes than memory can hold.

    Arguments
    ---------
    tree : Any
        The tree.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        If it is deeper than 50 levels, or has more than 100,000 nodes.
    """
    known: dict[int, tuple[int, int]] = {}

    def measure(node: Any, depth: int) -> tuple[int, int]:
        """Count the nodes and the levels; a part that aliases share is seen once."""
        if not isinstance(node, CommentedMap | CommentedSeq):
            return 1, 1
        if depth <= _MOST_LEVELS and id(node) not in known:
            children = node.values() if isinstance(node, CommentedMap) else node
            measured = [measure(child, depth + 1) for child in children]
            n_nodes = 1 + sum(n for n, _ in measured)
            known[id(node)] = n_nodes, 1 + max((k for _, k in measured), default=0)
        n_nodes, n_levels = known.get(id(node), (0, _MOST_LEVELS + 1))
        if n_nodes > _MOST_NODES or n_levels > _MOST_LEVELS:
            raise ValueError(
                f"{name} is too large: expected at most {_MOST_NODES:,} values on "
                f"{_MOST_LEVELS} levels, counting aliases (*) as what they stand for."
            )
        return n_nodes, n_levels

    measure(tree, 1)


def without_comments(node: Any) -> Any:
    """Copy a tree without comments, which would stand by the wrong value if merged.

    Arguments
    ---------
    node : Any
        The tree.

    Returns
    -------
    Any
        The copy; its aliases point to one and the same node, too.
    """
    copies: dict[int, Any] = {}

    def copy(old: Any) -> Any:
        if not isinstance(old, CommentedMap | CommentedSeq):
            return old
        if id(old) not in copies:
            copies[id(old)] = new = type(old)()
            if tag_of(old):
                new.yaml_set_ctag(old.tag)
            if old.fa.flow_style():
                new.fa.set_flow_style()
            if isinstance(old, CommentedMap):
                new.update({key: copy(value) for key, value in old.items()})
            else:
                new.extend(copy(value) for value in old)
        return copies[id(old)]

    return copy(node)


def without_tags(node: Any) -> Any:
    """Give a tree as plain values.

    Arguments
    ---------
    node : Any
        The tree.

    Returns
    -------
    Any
        A tree of dict, list, str, int, float, bool and None; a node with a tag becomes
        ``{"!new:module.Class": arguments}``.
    """
    tag = tag_of(node)
    if isinstance(node, CommentedMap):
        bare = {str(key): without_tags(value) for key, value in node.items()}
    elif isinstance(node, CommentedSeq):
        bare = [without_tags(value) for value in node]
    else:
        bare = node.value if tag else node
    return {tag: bare} if tag else bare

"""Trees of settings as ruamel.yaml reads them: tags, size, and copies."""

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

_MAX_LEVELS = 50
_MAX_NODES = 100_000


def tag_of(node: Any) -> str:
    """Return the explicit tag of a node, such as ``!new:torch.nn.Linear``, or "".

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
    """Refuse a tree that is too deep or too large to be traversed.

    With aliases, a few lines can stand for more nodes than fit in memory.

    Arguments
    ---------
    name : str
        Name of the tree in the message.

    Raises
    ------
    ValueError
        If it is deeper than 50 levels or has more than 100,000 nodes.
    """
    sizes: dict[int, tuple[int, int]] = {}

    def measure(node: Any, depth: int) -> tuple[int, int]:
        """Count nodes and levels; a part that aliases share is traversed once."""
        if not isinstance(node, CommentedMap | CommentedSeq):
            return 1, 1
        if depth <= _MAX_LEVELS and id(node) not in sizes:
            children = node.values() if isinstance(node, CommentedMap) else node
            measured = [measure(child, depth + 1) for child in children]
            n_nodes = 1 + sum(n for n, _ in measured)
            sizes[id(node)] = n_nodes, 1 + max((k for _, k in measured), default=0)
        n_nodes, n_levels = sizes.get(id(node), (0, _MAX_LEVELS + 1))
        if n_nodes > _MAX_NODES or n_levels > _MAX_LEVELS:
            raise ValueError(
                f"{name} is too large: expected at most {_MAX_NODES:,} values on "
                f"{_MAX_LEVELS} levels, with aliases (*) expanded."
            )
        return n_nodes, n_levels

    measure(tree, 1)


def without_comments(node: Any) -> Any:
    """Copy a tree without comments, which would end up next to wrong values in a merge.

    Aliases in the copy still share one node.
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
    """Copy a tree as plain Python values.

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

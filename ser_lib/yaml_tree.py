"""Trees of settings as ruamel.yaml reads them: their tags, and copies without."""

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq


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

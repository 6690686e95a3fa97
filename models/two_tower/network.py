"""The forward pass of the two towers, for a batch and for all entities; no training."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.two_tower.inputs import TowerInputs

if TYPE_CHECKING:
    import torch


def towers_of(users: int, items: int, terms: int, dimensions: int) -> torch.nn.ModuleDict:
    """Make embedding tables with padding row 0: the state dict of two_tower_v1_best.pth."""
    from torch import nn

    def table(rows: int) -> nn.EmbeddingBag:
        return nn.EmbeddingBag(rows + 1, dimensions, mode="mean", padding_idx=0)

    return nn.ModuleDict(
        {
            "user_id": table(users),
            "user_words": table(terms),
            "item_id": table(items),
            "item_words": table(terms),
            "history": nn.Linear(dimensions, dimensions, bias=False),
        }
    )


def people_of(
    towers: torch.nn.ModuleDict,
    tensors: dict[str, torch.Tensor],
    user: torch.Tensor,
    history: torch.Tensor,
    dropped: torch.Tensor | None,
) -> torch.Tensor:
    """Return (b, d) unit vectors of users, zero without any input."""
    import torch

    return torch.nn.functional.normalize(_sums(towers, tensors, user, history, dropped), dim=1)


def _sums(
    towers: torch.nn.ModuleDict,
    tensors: dict[str, torch.Tensor],
    user: torch.Tensor,
    history: torch.Tensor,
    dropped: torch.Tensor | None,
) -> torch.Tensor:
    """Return (b, d) sums of users' id, token and history embeddings, zero without any input."""
    own = tensors["user_id"][user][:, None]
    own = own if dropped is None else own.masked_fill(dropped[:, None], 0)
    words = towers["user_words"](tensors["user_words"][user])
    return towers["user_id"](own) + words + towers["history"](towers["item_id"](history))


def startups_of(
    towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], item: torch.Tensor, dropped: torch.Tensor | None
) -> torch.Tensor:
    """Return (b, d) unit vectors of startups, zero without any input."""
    import torch

    own = tensors["item_id"][item][:, None]
    own = own if dropped is None else own.masked_fill(dropped[:, None], 0)
    total = towers["item_id"](own) + towers["item_words"](tensors["item_words"][item])
    return torch.nn.functional.normalize(total, dim=1)


def vectors(
    towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], some: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of all users, or of some rows, and of all startups, computed in chunks."""
    import torch

    with torch.no_grad():
        users, items = (torch.arange(len(tensors[ids]), device=tensors[ids].device) for ids in ("user_id", "item_id"))
        users = users if some is None else torch.from_numpy(some).long().to(users.device)
        people = [people_of(towers, tensors, rows, tensors["history"][rows], None) for rows in torch.split(users, 8192)]
        startups = [startups_of(towers, tensors, rows, None) for rows in torch.split(items, 8192)]
        return torch.cat(people).cpu().numpy(), torch.cat(startups).cpu().numpy()


def lengths(towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    """Return (users,) vector lengths before normalisation, needed to replace a history."""
    import torch

    with torch.no_grad():
        users = torch.arange(len(tensors["user_id"]), device=tensors["user_id"].device)
        sums = [_sums(towers, tensors, rows, tensors["history"][rows], None) for rows in torch.split(users, 8192)]
        return torch.cat([s.norm(dim=1) for s in sums]).cpu().numpy()


def history_table(towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    """Return (items, d) what each startup adds to the vector of a user who met it; zeros if untrained."""
    import torch

    with torch.no_grad():
        added = towers["history"](
            towers["item_id"](torch.arange(1, len(tensors["item_id"]) + 1, device=tensors["item_id"].device)[:, None])
        )
        return np.asarray(added.masked_fill((tensors["item_id"] == 0)[:, None], 0).cpu().numpy(), np.float32)


def table(towers: torch.nn.ModuleDict, name: str) -> NDArray[np.float32]:
    """Return (terms, d) rows of an embedding table, without the padding row."""
    return np.array(towers.state_dict()[f"{name}.weight"].cpu().numpy()[1:], np.float32)


def on_device(inputs: TowerInputs, device: str) -> dict[str, torch.Tensor]:
    """Put the input arrays on the training device, by name."""
    import torch

    return {
        name: torch.from_numpy(array).to(device)
        for name, array in vars(inputs).items()
        if isinstance(array, np.ndarray)
    }


#: By name of the id map: the embedding table of ids. Its row 0 is padding, so rows are shifted by one.
_TABLES = {"user": "user_id.weight", "item": "item_id.weight"}


def zero_embedding(stored: bytes, side: str, row: int) -> bytes:
    """Zero the embedding of one id in the bytes of two_tower_v1_best.pth; deterministic."""
    import torch

    weights = torch.load(io.BytesIO(stored), weights_only=True)
    weights[_TABLES[side]][row + 1 : row + 2] = 0  # a table without ids has only the padding row
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()

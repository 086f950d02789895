# SPDX-License-Identifier: Apache-2.0
"""Laplace's equation in the wall: 0 on the endocardium, 1 on the epicardium, no flux through the valve plane.

Jones, Buchbinder and Aharon, Human Brain Mapping 2000;11:12: the field lines of its solution cross the wall without
meeting, and thickness is their length. Only directions are taken from the solution; where a line begins and ends is
known between the nodes, so that nodes beside a surface may carry its value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import cg

from .wall_grid import LEVEL, Volume, WallGrid

Indices = npt.NDArray[np.intp]
Values = npt.NDArray[np.float64]

_TOLERANCE: Final = 1e-5
_STEPS: Final = tuple((axis, step) for axis in range(3) for step in (1, -1))


def field_directions(grid: WallGrid) -> Volume:
    """Solve Laplace's equation in the wall and return where its field lines run.

    Args:
        grid: the wall.

    Returns:
        ``(3, X, Y, Z)`` vectors from endocardium to epicardium along the grid's axes, of unit length in the wall,
        shorter in the three layers around it, into which they are carried, and 0 elsewhere.
    """
    wall = (grid.cavity < LEVEL) & (grid.ventricle > LEVEL)
    nodes = np.argwhere(wall)
    directions = np.zeros((3, *wall.shape), np.float32)
    if not len(nodes):
        return directions
    number = np.full(wall.shape, -1)
    number[wall] = np.arange(len(nodes))
    links = [_link(grid, number, nodes, axis, step) for axis, step in _STEPS]
    potential = _solve(links, len(nodes))
    gradient = np.stack([_slope(potential, links[2 * axis], links[2 * axis + 1]) for axis in range(3)])
    directions[:, wall] = gradient / np.maximum(np.linalg.norm(gradient, axis=0), 1e-12)
    return _carried_outside(directions, wall)


class _Link:
    """What each node meets in one of the six directions.

    Attributes:
        neighbour: ``(N,)`` number of the wall node there, -1 where there is none.
        boundary: ``(N,)`` potential of the surface there: 0 or 1; NaN where the grid ends, which lets no flux through.
    """

    def __init__(self, neighbour: Indices, boundary: Values) -> None:
        self.neighbour, self.boundary = neighbour, boundary

    @property
    def inner(self) -> npt.NDArray[np.bool_]:
        """Where there is a wall node."""
        return self.neighbour >= 0

    @property
    def surface(self) -> npt.NDArray[np.bool_]:
        """Where there is a surface."""
        return ~self.inner & np.isfinite(self.boundary)

    def potential_there(self, potential: Values) -> Values:
        """Potential that a node sees in this direction; its own where the grid ends: a mirror."""
        there = np.where(np.isnan(self.boundary), potential, self.boundary)
        return np.where(self.inner, potential[self.neighbour], there)


def _link(grid: WallGrid, number: Indices, nodes: Indices, axis: int, step: int) -> _Link:
    ahead = nodes.copy()
    ahead[:, axis] += step
    inside = (ahead[:, axis] >= 0) & (ahead[:, axis] < number.shape[axis])
    ahead[~inside] = nodes[~inside]
    there = tuple(ahead.T)
    boundary = np.where(grid.cavity[there] >= LEVEL, 0.0, 1.0)
    return _Link(np.where(inside, number[there], -1), np.where(inside, boundary, np.nan))


def _solve(links: list[_Link], size: int) -> Values:
    """Potential at the nodes by conjugate gradients."""
    diagonal = sum((link.inner | link.surface).astype(np.float64) for link in links)
    right = sum(np.where(link.surface, np.nan_to_num(link.boundary), 0.0) for link in links)
    row = np.concatenate([np.flatnonzero(link.inner) for link in links])
    column = np.concatenate([link.neighbour[link.inner] for link in links])
    diagonal = np.maximum(diagonal, 1e-6)  # a node that meets nothing: its own value is as good as any
    matrix: csr_matrix = diags(diagonal) - coo_matrix((np.ones(len(row)), (row, column)), (size, size)).tocsr()
    solution, _ = cg(matrix, right, x0=np.full(size, 0.5), rtol=_TOLERANCE, maxiter=1000, M=diags(1 / diagonal))
    return np.asarray(solution)


def _slope(potential: Values, forward: _Link, backward: _Link) -> Values:
    """First derivative along an axis, central."""
    return np.asarray(forward.potential_there(potential) - backward.potential_there(potential)) / 2


def _carried_outside(directions: Volume, wall: npt.NDArray[np.bool_]) -> Volume:
    """Give the nodes around the wall the mean direction of those within it, so that every point in it has eight."""
    for component in directions:
        for size in (3, 5):  # one, then three layers
            spread = uniform_filter(component, size)
            component[:] = np.where(wall, component, spread)
    return directions

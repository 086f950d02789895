# SPDX-License-Identifier: Apache-2.0
"""Laplace's equation in the wall: 0 on the endocardium, 1 on the epicardium, no flux through the valve plane.

Jones, Buchbinder and Aharon, Human Brain Mapping 2000;11:12: the field lines of its solution cross the wall without
meeting, and thickness is their length. The surfaces lie between the nodes; the stencil of a node beside a surface ends
there (Gibou, Fedkiw, Cheng and Kang, J Comput Phys 2002;176:205, symmetric and second order).
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

_NEAREST: Final = 0.05
"""Least distance of a surface from a node, in nodes, so that the matrix stays well conditioned."""
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
        distance: ``(N,)`` nodes to the neighbour (1) or to the surface (up to 1).
        boundary: ``(N,)`` potential of the surface: 0 or 1; NaN where the grid ends, which lets no flux through.
    """

    def __init__(self, neighbour: Indices, distance: Values, boundary: Values) -> None:
        self.neighbour, self.distance, self.boundary = neighbour, distance, boundary

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
    here, there = tuple(nodes.T), tuple(ahead.T)
    neighbour = np.where(inside, number[there], -1)
    in_cavity = grid.cavity[there] >= LEVEL
    near = np.where(in_cavity, grid.cavity[here], grid.ventricle[here])
    change = np.where(in_cavity, grid.cavity[there], grid.ventricle[there]) - near
    at_surface = inside & (neighbour < 0)
    crossing = (LEVEL - near) / np.where(at_surface, change, 1.0)
    distance = np.where(at_surface, np.clip(crossing, _NEAREST, 1.0), 1.0)
    return _Link(neighbour, distance, np.where(inside, np.where(in_cavity, 0.0, 1.0), np.nan))


def _solve(links: list[_Link], size: int) -> Values:
    """Potential at the nodes by conjugate gradients."""
    diagonal, right = np.zeros(size), np.zeros(size)
    rows, columns = [], []
    for link in links:
        weight = np.where(link.inner | link.surface, 1 / link.distance, 0.0)
        diagonal += weight
        right += np.where(link.surface, weight * np.nan_to_num(link.boundary), 0.0)
        rows.append(np.flatnonzero(link.inner))
        columns.append(link.neighbour[link.inner])
    row, column = np.concatenate(rows), np.concatenate(columns)
    diagonal = np.maximum(diagonal, 1e-6)  # a node that meets nothing: its own value is as good as any
    matrix: csr_matrix = diags(diagonal) - coo_matrix((np.ones(len(row)), (row, column)), (size, size)).tocsr()
    solution, _ = cg(matrix, right, x0=np.full(size, 0.5), rtol=_TOLERANCE, maxiter=1000, M=diags(1 / diagonal))
    return np.asarray(solution)


def _slope(potential: Values, forward: _Link, backward: _Link) -> Values:
    """First derivative along an axis from three unevenly spaced values, second order."""
    right, left = forward.potential_there(potential) - potential, potential - backward.potential_there(potential)
    ahead, behind = forward.distance, backward.distance
    return np.asarray((behind**2 * right + ahead**2 * left) / (ahead * behind * (ahead + behind)))


def _carried_outside(directions: Volume, wall: npt.NDArray[np.bool_]) -> Volume:
    """Give the nodes around the wall the mean direction of those within it, so that every point in it has eight."""
    for component in directions:
        for size in (3, 5):  # one, then three layers
            spread = uniform_filter(component, size)
            component[:] = np.where(wall, component, spread)
    return directions

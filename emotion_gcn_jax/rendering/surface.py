"""The surface of the synthetic faces: its normals, the hair that grows on it, and which triangle is seen where."""

import math

import numpy as np

from emotion_gcn_jax.rendering.curves import above_hairline, compiled, normalise, ramp
from emotion_gcn_jax.rendering.head import HAIR


@compiled
def vertex_normals(vertices_Vx3: np.ndarray, triangles_Tx3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals [V, 3], and how concave the surface is at each vertex [V]: positive in folds, about -0.5 to 0.5."""
    count = vertices_Vx3.shape[0]
    normals_Vx3 = np.zeros((count, 3), np.float32)
    for t in range(triangles_Tx3.shape[0]):
        a, b, c = triangles_Tx3[t]
        for axis in range(3):
            p, q = (axis + 1) % 3, (axis + 2) % 3
            up, uq = vertices_Vx3[b, p] - vertices_Vx3[a, p], vertices_Vx3[b, q] - vertices_Vx3[a, q]
            vp, vq = vertices_Vx3[c, p] - vertices_Vx3[a, p], vertices_Vx3[c, q] - vertices_Vx3[a, q]
            for k in range(3):
                normals_Vx3[triangles_Tx3[t, k], axis] += up * vq - uq * vp
    for i in range(count):
        normalise(normals_Vx3[i])
    cavity_V, edges_V = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for t in range(triangles_Tx3.shape[0]):
        for k in range(3):
            i, j = triangles_Tx3[t, k], triangles_Tx3[t, (k + 1) % 3]
            rise, square = 0.0, 1e-12
            for axis in range(3):
                d = vertices_Vx3[j, axis] - vertices_Vx3[i, axis]
                rise += d * normals_Vx3[i, axis]
                square += d * d
            cavity_V[i] += rise / math.sqrt(square)
            edges_V[i] += 1
    return normals_Vx3, cavity_V / np.maximum(edges_V, 1)


@compiled
def hair_shell(
    rest_Vx3: np.ndarray,
    vertices_Vx3: np.ndarray,
    normals_Vx3: np.ndarray,
    hairline_Lx2: np.ndarray,
    centre_3: np.ndarray,
    thickness: float,
    curtain: float,
    curl: float,
    texture_6x4: np.ndarray,
) -> np.ndarray:
    """Vertices [V, 3] of the hair's surface: the scalp's, pushed outwards by `thickness`; the others stay.

    Long hair hangs at least `curtain` off the neck's axis. Lengths are decimetres; see `sampling.Subject`.
    """
    shell_Vx3 = vertices_Vx3.copy()
    for i in range(rest_Vx3.shape[0]):
        x, y, z = rest_Vx3[i]
        above = above_hairline(x, y, z, hairline_Lx2, texture_6x4)
        if above < -0.15:
            continue
        wave = 1 + 0.1 * curl * math.sin(9 * x + texture_6x4[2, 3]) * math.sin(8 * y + 7 * z)
        push = thickness * (0.1 + 0.9 * ramp(-0.02, 0.3 + thickness, above)) * wave * (1 + 0.5 * ramp(7.9, 8.4, y))
        if above < -0.05:
            push = -0.02
        for k in range(3):
            shell_Vx3[i, k] += push * normals_Vx3[i, k]
        if curtain > 0 and y < 7.5 and above > 0:
            dx, dz = shell_Vx3[i, 0] - centre_3[0], shell_Vx3[i, 2] - (centre_3[2] - 0.15)
            radius = math.sqrt(dx * dx + dz * dz) + 1e-6
            strength = ramp(7.5, 7.2, y) * ramp(0.0, 0.15, above) * ramp(0.5, 0.3, z)
            if radius < curtain and strength > 0:
                grow = 1 + strength * (curtain / radius - 1)
                shell_Vx3[i, 0] = centre_3[0] + dx * grow
                shell_Vx3[i, 2] = centre_3[2] - 0.15 + dz * grow
    return shell_Vx3


@compiled
def rasterise(
    points_Vx3: np.ndarray,
    triangles_Tx3: np.ndarray,
    material_T: np.ndarray,
    rest_Vx3: np.ndarray,
    side: int,
    hairline_Lx2: np.ndarray,
    texture_6x4: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds what is seen where; points are pixels (x, y) and a depth that is larger nearer to the camera.

    Returns:
        The triangle seen in each pixel, int32 [side, side], -1 for none, and the barycentric weights of its first two
        corners there, float32 [side, side, 2]. Hair below its hairline is not there.
    """
    depth = np.full((side, side), -1e9, np.float32)
    seen = np.full((side, side), -1, np.int32)
    weights = np.zeros((side, side, 2), np.float32)
    for t in range(triangles_Tx3.shape[0]):
        i, j, k = triangles_Tx3[t]
        ax, ay, bx, by, cx, cy = (
            points_Vx3[i, 0], points_Vx3[i, 1], points_Vx3[j, 0], points_Vx3[j, 1], points_Vx3[k, 0], points_Vx3[k, 1]
        )  # fmt: skip
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area > -1e-9 and (material_T[t] != HAIR or area < 1e-9):
            continue  # it faces away; hair is seen from both sides
        per_area = 1 / area
        first_x, last_x = max(0, int(math.floor(min(ax, bx, cx)))), min(side - 1, int(math.ceil(max(ax, bx, cx))))
        first_y, last_y = max(0, int(math.floor(min(ay, by, cy)))), min(side - 1, int(math.ceil(max(ay, by, cy))))
        for row in range(first_y, last_y + 1):
            for column in range(first_x, last_x + 1):
                px, py = column + 0.5, row + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * per_area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * per_area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points_Vx3[i, 2] + v * points_Vx3[j, 2] + w * points_Vx3[k, 2]
                if z <= depth[row, column]:
                    continue
                if material_T[t] == HAIR:
                    rx = u * rest_Vx3[i, 0] + v * rest_Vx3[j, 0] + w * rest_Vx3[k, 0]
                    ry = u * rest_Vx3[i, 1] + v * rest_Vx3[j, 1] + w * rest_Vx3[k, 1]
                    rz = u * rest_Vx3[i, 2] + v * rest_Vx3[j, 2] + w * rest_Vx3[k, 2]
                    if above_hairline(rx, ry, rz, hairline_Lx2, texture_6x4) < 0:
                        continue
                depth[row, column] = z
                seen[row, column] = t
                weights[row, column, 0] = u
                weights[row, column, 1] = v
    return seen, weights

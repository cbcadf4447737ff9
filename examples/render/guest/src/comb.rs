//! The field of six-sided cells, and where a ray meets it.
//!
//! Seen from above, cells of radius 1 (middle to corner) tile the plane; each is a ring of wall
//! around a floor. A ray walks from cell to cell, so that its cost is the cells below its path and
//! not the size of the field. A cell is named by two axial coordinates, `q` to the east and `r` to
//! the north-east; the three axes below point to its neighbours.

use crate::{
    sampler::{hash, unit},
    scene::{Comb, Fill, Hill, Material, Scene},
    trace::{Hit, Ray},
    vector::{Vec3, vec3},
};

/// From the middle of a cell to the middle of an edge.
const APOTHEM: f32 = 0.866_025_4;
/// Directions from a cell to three of its neighbours; the other three are their opposites.
const AXES: [(f32, f32); 3] = [(1.0, 0.0), (0.5, APOTHEM), (-0.5, APOTHEM)];
/// The steps of `q` and `r` to these neighbours.
const STEPS: [(i32, i32); 3] = [(1, 0), (0, 1), (-1, 1)];

/// All cells of a scene.
pub(crate) struct Field {
    /// Row by row of a square of `2 * reach + 1` cells; those in its corners are unused.
    cells: Vec<Cell>,
    reach: i32,
    /// No cell rises above.
    highest: f32,
    wall: f32,
    material: Material,
    fills: Vec<Fill>,
}

#[derive(Clone, Copy)]
struct Cell {
    top: f32,
    floor: f32,
    /// Which of the field's fills lies on the floor; a number beyond the last stands for none.
    fill: usize,
}

/// The part of a ray within one cell.
struct Crossing {
    /// The ray's origin along each axis, seen from the middle of the cell.
    from: [f32; 3],
    /// How far it goes for one unit along each axis.
    per: [f32; 3],
    entered: f32,
    left: f32,
    /// The normal of the edge it entered by.
    side: Vec3,
}

impl Field {
    pub(crate) fn new(scene: &Scene) -> Self {
        let comb = &scene.comb;
        let reach = comb.reach as i32;
        let mut cells = Vec::new();
        for r in -reach..=reach {
            cells.extend((-reach..=reach).map(|q| make_cell(q, r, comb, scene)));
        }
        let highest = cells.iter().map(|cell| cell.top).fold(f32::MIN, f32::max);
        let fills = scene.fills.clone();
        Self { cells, reach, highest, wall: comb.wall, material: comb.material, fills }
    }

    /// The nearest point where `ray` meets a cell, closer than `limit`.
    pub(crate) fn hit(&self, ray: &Ray, limit: f32) -> Option<Hit> {
        let (start, end) = self.clip(ray, limit)?;
        let point = ray.at(start);
        let (mut q, mut r) = cell_at(point.x, point.y);
        let project = |v: Vec3| AXES.map(|(x, y)| v.x * x + v.y * y);
        let origin = project(ray.origin);
        // A ray along an edge would go for ever without crossing that axis; far enough will do.
        let per = project(ray.direction).map(|along| (1.0 / along).clamp(-1e9, 1e9));
        let mut entered = start;
        let mut side = vec3(-ray.direction.x, -ray.direction.y, 0.0).unit();
        // A straight line crosses at most two edges per row of cells.
        for _ in 0..8 * self.reach + 8 {
            let middle = middle(q, r);
            let from = [0, 1, 2].map(|axis| origin[axis] - middle[axis]);
            let (left, axis) = leave(&from, &per, APOTHEM);
            if let Some(cell) = self.cell(q, r) {
                let crossing = Crossing { from, per, entered, left, side };
                if let Some(hit) = self.hit_cell(cell, ray, &crossing) {
                    return (hit.distance < end).then_some(hit);
                }
            }
            if left >= end {
                return None;
            }
            let sign = if per[axis] < 0.0 { -1 } else { 1 };
            (q, r) = (q + sign * STEPS[axis].0, r + sign * STEPS[axis].1);
            side = edge_normal(axis) * -(sign as f32);
            entered = left;
        }
        None
    }

    /// The part of a ray that is not above all cells nor beside the field.
    fn clip(&self, ray: &Ray, limit: f32) -> Option<(f32, f32)> {
        let (o, d) = (ray.origin, ray.direction);
        let (mut start, mut end) = (0.0_f32, limit);
        let to_top = (self.highest - o.z) / d.z;
        match (o.z > self.highest, d.z < 0.0) {
            (true, true) => start = to_top,
            (true, false) => return None,
            (false, true) => {}
            (false, false) => end = end.min(to_top.max(0.0)),
        }
        // The circle around all cells.
        let radius = 2.0 * APOTHEM * (self.reach as f32 + 1.0);
        let a = d.x * d.x + d.y * d.y;
        let b = o.x * d.x + o.y * d.y;
        let c = o.x * o.x + o.y * o.y - radius * radius;
        let root = b * b - a * c;
        if root < 0.0 {
            return None;
        }
        if a > 1e-9 {
            start = start.max((-b - root.sqrt()) / a);
            end = end.min((-b + root.sqrt()) / a);
        }
        (start < end).then_some((start, end))
    }

    fn cell(&self, q: i32, r: i32) -> Option<&Cell> {
        let inside = q.abs().max(r.abs()).max((q + r).abs()) <= self.reach;
        let place = (r + self.reach) * (2 * self.reach + 1) + q + self.reach;
        if inside { self.cells.get(place as usize) } else { None }
    }

    /// Follows the ray over the near wall, the floor and the far wall of a cell.
    fn hit_cell(&self, cell: &Cell, ray: &Ray, crossing: &Crossing) -> Option<Hit> {
        let Crossing { from, per, entered, left, side } = crossing;
        let height = |t: f32| ray.origin.z + ray.direction.z * t;
        if height(*entered).min(height(*left)) > cell.top {
            return None;
        }
        let inner = APOTHEM - self.wall;
        let into = enter(from, per, inner).max(*entered);
        let (out, axis) = leave(from, per, inner);
        let out = out.min(*left);
        let step = |start: f32, end: f32, level: f32, side: Vec3| {
            if height(start) < level {
                return Some((start, side));
            }
            let falls = height(end) < level;
            falls.then(|| ((level - ray.origin.z) / ray.direction.z, Vec3::UP))
        };
        let wall = |(distance, normal): (f32, Vec3)| {
            let normal = if normal == Vec3::UP { self.rim(crossing, distance) } else { normal };
            Hit { distance, normal, material: self.material }
        };
        if into >= out {
            return step(*entered, *left, cell.top, *side).map(wall);
        }
        let far_side = edge_normal(axis) * -per[axis].signum();
        // A ray that starts above the floor has no near wall.
        let near = if into > *entered { step(*entered, into, cell.top, *side) } else { None };
        near.map(wall)
            .or_else(|| step(into, out, cell.floor, *side).map(|hit| self.floor(cell, hit)))
            .or_else(|| step(out, *left, cell.top, far_side).map(wall))
    }

    fn floor(&self, cell: &Cell, (distance, normal): (f32, Vec3)) -> Hit {
        let fill = self.fills.get(cell.fill);
        Hit { distance, normal, material: fill.map_or(self.material, |fill| fill.material) }
    }

    /// The normal on top of a wall, which is round: it leans out at both edges.
    fn rim(&self, crossing: &Crossing, distance: f32) -> Vec3 {
        let places = [0, 1, 2].map(|k| crossing.from[k] + distance / crossing.per[k]);
        let axis = largest(places.map(f32::abs));
        let half = 0.5 * self.wall;
        let lean = ((places[axis].abs() - (APOTHEM - half)) / half).clamp(-1.0, 1.0);
        let outward = edge_normal(axis) * places[axis].signum();
        (Vec3::UP + outward * (1.2 * lean * lean * lean)).unit()
    }
}

fn make_cell(q: i32, r: i32, comb: &Comb, scene: &Scene) -> Cell {
    let draw = |salt: u32| {
        let key = (q as u32).wrapping_mul(0x8da6_b343) ^ (r as u32).wrapping_mul(0xd816_3841);
        unit(hash(key ^ hash(comb.seed as u32 ^ salt << 24)))
    };
    let x = 2.0 * APOTHEM * (q as f32 + 0.5 * r as f32);
    let y = 1.5 * r as f32;
    let rise = |hill: &Hill| {
        let away = ((x - hill.x).powi(2) + (y - hill.y).powi(2)) / (hill.width * hill.width);
        hill.height * (-away).exp()
    };
    let top = comb.jitter * (draw(1) - 0.5) + scene.hills.iter().map(rise).sum::<f32>();
    let mut chance = draw(2);
    let fill = scene.fills.iter().position(|fill| {
        chance -= fill.share;
        chance < 0.0
    });
    let level = fill.map_or(0.0, |place| scene.fills[place].level);
    let floor = top - comb.depth * (1.0 - level);
    Cell { top, floor, fill: fill.unwrap_or(usize::MAX) }
}

/// The middle of a cell along each axis.
fn middle(q: i32, r: i32) -> [f32; 3] {
    let (q, r) = (q as f32, r as f32);
    [2.0 * q + r, q + 2.0 * r, r - q].map(|place| APOTHEM * place)
}

/// The cell that a point of the plane lies in.
fn cell_at(x: f32, y: f32) -> (i32, i32) {
    let r = y / 1.5;
    let q = x / (2.0 * APOTHEM) - 0.5 * r;
    let rounded = [q, r, -q - r].map(f32::round);
    let off = [q - rounded[0], r - rounded[1], -q - r - rounded[2]].map(f32::abs);
    // The three always sum to zero: the one that rounding moved most follows from the others.
    match largest(off) {
        0 => ((-rounded[1] - rounded[2]) as i32, rounded[1] as i32),
        1 => (rounded[0] as i32, (-rounded[0] - rounded[2]) as i32),
        _ => (rounded[0] as i32, rounded[1] as i32),
    }
}

/// Where a line enters the six-sided shape of that apothem.
fn enter(from: &[f32; 3], per: &[f32; 3], apothem: f32) -> f32 {
    let entry = |axis: usize| -apothem * per[axis].abs() - from[axis] * per[axis];
    entry(0).max(entry(1)).max(entry(2))
}

/// Where a line leaves it, and across which axis.
fn leave(from: &[f32; 3], per: &[f32; 3], apothem: f32) -> (f32, usize) {
    let exit = |axis: usize| apothem * per[axis].abs() - from[axis] * per[axis];
    let (first, second, third) = (exit(0), exit(1), exit(2));
    if first <= second && first <= third {
        (first, 0)
    } else if second <= third {
        (second, 1)
    } else {
        (third, 2)
    }
}

fn edge_normal(axis: usize) -> Vec3 {
    vec3(AXES[axis].0, AXES[axis].1, 0.0)
}

fn largest(numbers: [f32; 3]) -> usize {
    let [first, second, third] = numbers;
    if first >= second && first >= third {
        0
    } else if second >= third {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: &str = include_str!("../../scene.txt");

    #[test]
    fn a_point_lies_in_the_cell_with_the_nearest_middle() {
        for q in -3..=3 {
            for r in -3..=3 {
                let (x, y) = (2.0 * APOTHEM * (q as f32 + 0.5 * r as f32), 1.5 * r as f32);
                for (dx, dy) in [(0.0, 0.0), (0.8, 0.0), (-0.4, 0.7), (0.0, -0.95)] {
                    assert_eq!(cell_at(x + dx, y + dy), (q, r));
                }
            }
        }
    }

    /// Walks in small steps and asks each point for its cell: slow, and without the clever part.
    fn march(field: &Field, ray: &Ray) -> Option<f32> {
        (0..20_000).map(|step| step as f32 * 2e-3).find(|distance| {
            let point = ray.at(*distance);
            let (q, r) = cell_at(point.x, point.y);
            let middle = middle(q, r);
            let off = |axis: usize| point.x * AXES[axis].0 + point.y * AXES[axis].1 - middle[axis];
            let out =
                [0, 1, 2].map(|axis| off(axis).abs())[largest([0, 1, 2].map(|a| off(a).abs()))];
            field.cell(q, r).is_some_and(|cell| {
                let level = if out > APOTHEM - field.wall { cell.top } else { cell.floor };
                point.z < level
            })
        })
    }

    #[test]
    fn the_walk_from_cell_to_cell_finds_what_small_steps_find() {
        let field = Field::new(&Scene::parse(SCENE).expect("the example's scene"));
        let mut met = 0;
        for number in 0..300_u32 {
            let draw = |salt: u32| unit(hash(number ^ salt << 16)) * 2.0 - 1.0;
            let origin = vec3(draw(1) * 12.0, draw(2) * 12.0, 3.0 + draw(3));
            let direction = vec3(draw(4), draw(5), 0.4 * draw(6) - 0.3).unit();
            let ray = Ray { origin, direction };
            let walked = field.hit(&ray, 39.9).map(|hit| hit.distance);
            match (march(&field, &ray), walked) {
                (Some(slow), Some(fast)) => {
                    assert!((slow - fast).abs() < 0.02, "ray {number}: {slow}, {fast}");
                    met += 1;
                }
                (None, None) => {}
                (slow, fast) => panic!("ray {number}: {slow:?} but {fast:?}"),
            }
        }
        assert!(met > 100, "only {met} rays met a cell");
    }
}

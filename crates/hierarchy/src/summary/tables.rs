//! The cheapest signed encodings of small block patterns, for the re-encoding of a merge (`systems/30-slugger.md`, step 3).
//!
//! Two roots A = {A1, A2} and B = {B1, B2} merge into M. Towards a third root C = {C1, C2} there are 4 x 2 blocks, within M
//! there are 10; each is full or empty. No search over sets of edges is needed: a supernode X has one signed number for each
//! column, the rest follows. Edges (X, C), (X, C1), (X, C2) that add (u, v) to the columns cost `pair_cost(u, v)`, and what
//! M and A add is taken from what A1 and A2 have to. So a table is a minimum over what M, A and B add.
//!
//! What edges of M, A and B add to a block is kept at 0 or 1, for that is the pattern that the next merge of M starts from.
//! Of equal costs the one that uses fewer of A and B wins, for pruning takes a supernode out that has no edges; then the one
//! with the fewest edges at A1, A2, B1 and B2, for these are never encoded again.

/// What a supernode's edges add to the two columns, each -1, 0 or 1.
pub(super) type Adds = [i8; 2];

/// Edges that add this to two columns: one edge to their parent, if both are equal.
fn pair_cost([u, v]: Adds) -> u8 {
    if u == v {
        u.unsigned_abs()
    } else {
        u.unsigned_abs() + v.unsigned_abs()
    }
}

/// All edges; how many of A and B have some; edges at A1, A2, B1, B2. The least wins.
type Rank = (u8, u8, u8);

const SIGNS: [i8; 3] = [0, 1, -1];

fn all_adds() -> impl Iterator<Item = Adds> {
    SIGNS
        .into_iter()
        .flat_map(|u| SIGNS.into_iter().map(move |v| [u, v]))
}

fn bit(pattern: u16, at: usize) -> i8 {
    i8::from(pattern >> at & 1 == 1)
}

/// What a root is made of: a leaf, or two children of which each may be a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(u8);

impl Shape {
    pub(super) const LEAF: Self = Self(0);
    const COUNT: usize = 5;

    pub(super) fn of_children(first_is_leaf: bool, second_is_leaf: bool) -> Self {
        Self(1 + u8::from(first_is_leaf) + 2 * u8::from(second_is_leaf))
    }

    pub(super) fn is_leaf(self) -> bool {
        self.0 == 0
    }

    /// Whether the child has no pairs within.
    fn child_is_leaf(self, child: usize) -> bool {
        self.0 == 0 || (self.0 - 1) >> child & 1 == 1
    }
}

/// The encoding of M towards C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cross {
    /// All edges.
    pub(super) cost: u8,
    /// Those at A1, A2, B1, B2.
    pub(super) deep_cost: u8,
    /// Bit 2i + j: whether the edges of M, A and B fill the block of M's child i and Cj.
    pub(super) pattern: u8,
    /// What M, A and B add.
    pub(super) top: [Adds; 3],
    /// What A1, A2, B1 and B2 add.
    pub(super) deep: [Adds; 4],
}

/// The encoding within M.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Inner {
    /// All edges.
    pub(super) cost: u8,
    /// Those at A1, A2, B1, B2.
    pub(super) deep_cost: u8,
    /// Whether the edges of M, A and B fill the blocks AA, AB, BB.
    pub(super) pattern: u8,
    /// Signs of the edges MM, MA, MB, AA, AB, BB.
    pub(super) top: [i8; 6],
    /// What A1, A2, B1, B2 add to pairs with their own half, and with the other.
    pub(super) rows: [Adds; 4],
    /// Signs of A1A1, A1A2, A2A2, B1B1, B1B2, B2B2, A1B1, A1B2, A2B1, A2B2.
    pub(super) blocks: [i8; 10],
}

/// What the two children of a half add to its three blocks so that they come out right.
#[derive(Debug, Clone, Copy, Default)]
struct Half {
    cost: u8,
    /// What each child adds within the half.
    own: [i8; 2],
    blocks: [i8; 3],
    possible: bool,
}

/// All encodings; patterns within are found when first asked for.
pub(super) struct Tables {
    cross: Vec<Cross>,
    cross_cost: Vec<u8>,
    inner: Vec<Option<Inner>>,
    halves: Vec<Half>,
    /// By AA, AB, BB: the cheapest six signs.
    tops: [([i8; 6], u8); 8],
}

// === impl Tables ===

impl Tables {
    pub(super) fn new() -> Self {
        let cross: Vec<Cross> = (0..8 * 256)
            .map(|at| {
                let [a, b, c] = [0, 1, 2].map(|leaf| at >> (8 + leaf) & 1 == 1);
                find_cross([a, b], c, (at & 255) as u16)
            })
            .collect();
        Self {
            cross_cost: cross.iter().map(|c| c.cost).collect(),
            cross,
            inner: vec![None; (Shape::COUNT * Shape::COUNT) << 10],
            halves: halves(),
            tops: tops(),
        }
    }

    /// Where the encoding of a merge towards a third root is; patterns as [`Cross::pattern`], of A to C and of B to C.
    pub(super) fn cross_at(leaves: [bool; 3], a_to_c: u8, b_to_c: u8) -> usize {
        usize::from(leaves[0]) << 8
            | usize::from(leaves[1]) << 9
            | usize::from(leaves[2]) << 10
            | usize::from(a_to_c)
            | usize::from(b_to_c) << 4
    }

    pub(super) fn cross(&self, at: usize) -> &Cross {
        &self.cross[at]
    }

    pub(super) fn cross_cost(&self, at: usize) -> u8 {
        self.cross_cost[at]
    }

    /// The encoding within M; patterns are those within A, within B, and from A to B.
    pub(super) fn inner(&mut self, shapes: [Shape; 2], within: [u8; 2], between: u8) -> Inner {
        let pattern = u16::from(within[0]) | u16::from(within[1]) << 3 | u16::from(between) << 6;
        let shape = usize::from(shapes[0].0) * Shape::COUNT + usize::from(shapes[1].0);
        let at = shape << 10 | usize::from(pattern);
        if let Some(found) = self.inner[at] {
            return found;
        }
        let found = self.find_inner(shapes, within, between);
        self.inner[at] = Some(found);
        found
    }

    fn find_inner(&self, shapes: [Shape; 2], within: [u8; 2], between: u8) -> Inner {
        let mut best: Option<(Rank, Inner)> = None;
        for (pattern, &(top, top_cost)) in (0_u8..).zip(&self.tops) {
            let filled = [0, 1, 2].map(|i| bit(u16::from(pattern), i));
            for code in 0..81_usize {
                let across = [code % 3, code / 3 % 3, code / 9 % 3, code / 27].map(|s| SIGNS[s]);
                if (0..4).any(|i| across[i] != 0 && shapes[i / 2].is_leaf()) {
                    continue;
                }
                let mut blocks = [0; 10];
                let mut deep_cost = 0_u8;
                for (block, left) in blocks[6..].iter_mut().enumerate() {
                    *left = bit(u16::from(between), block)
                        - filled[1]
                        - across[block / 2]
                        - across[2 + block % 2];
                    deep_cost = deep_cost.saturating_add(if (-1..=1).contains(left) {
                        left.unsigned_abs()
                    } else {
                        100
                    });
                }
                // A block of a leaf and a child is what that child adds across.
                if shapes.iter().any(|s| s.is_leaf()) && blocks[6..] != [0; 4] {
                    continue;
                }
                let mut rows = [[0; 2]; 4];
                let mut possible = deep_cost < 100;
                for half in 0..2 {
                    let found = self.halves[half_at(
                        shapes[half],
                        within[half],
                        filled[2 * half],
                        [across[2 * half], across[2 * half + 1]],
                    )];
                    possible &= found.possible;
                    deep_cost = deep_cost.saturating_add(found.cost);
                    blocks[3 * half..3 * half + 3].copy_from_slice(&found.blocks);
                    for child in 0..2 {
                        rows[2 * half + child] = [found.own[child], across[2 * half + child]];
                    }
                }
                let rank = (top_cost.saturating_add(deep_cost), halves_used(&top), deep_cost);
                if possible && best.as_ref().is_none_or(|(least, _)| rank < *least) {
                    let found = Inner {
                        cost: rank.0,
                        deep_cost,
                        pattern,
                        top,
                        rows,
                        blocks,
                    };
                    best = Some((rank, found));
                }
            }
        }
        best.map(|(_, found)| found).unwrap_or_default()
    }
}

fn half_at(shape: Shape, within: u8, filled: i8, across: Adds) -> usize {
    let sign = |s: i8| (s + 1) as usize;
    (((usize::from(shape.0) * 8 + usize::from(within)) * 2 + usize::from(filled == 1)) * 3 + sign(across[0]))
        * 3
        + sign(across[1])
}

/// Every half by its shape, its pattern, what M, A and B fill it with, and what its children add across.
fn halves() -> Vec<Half> {
    let mut all = vec![Half::default(); Shape::COUNT * 8 * 2 * 9];
    for shape in (0..Shape::COUNT as u8).map(Shape) {
        for within in 0..8_u8 {
            for filled in [0, 1] {
                for across in all_adds() {
                    let mut best = Half::default();
                    for own in all_adds() {
                        if shape.is_leaf() && own != [0, 0] {
                            continue;
                        }
                        let adds = [own[0], own[0] + own[1], own[1]];
                        let free = [shape.child_is_leaf(0), shape.is_leaf(), shape.child_is_leaf(1)];
                        let blocks = [0, 1, 2].map(|i| {
                            if free[i] {
                                0
                            } else {
                                bit(u16::from(within), i) - filled - adds[i]
                            }
                        });
                        if blocks.iter().any(|b| !(-1..=1).contains(b)) {
                            continue;
                        }
                        let cost = (0..2).map(|i| pair_cost([own[i], across[i]])).sum::<u8>()
                            + blocks.iter().map(|b| b.unsigned_abs()).sum::<u8>();
                        if !best.possible || cost < best.cost {
                            best = Half {
                                cost,
                                own,
                                blocks,
                                possible: true,
                            };
                        }
                    }
                    all[half_at(shape, within, filled, across)] = best;
                }
            }
        }
    }
    all
}

/// How many of A and B have edges, of MM, MA, MB, AA, AB, BB.
fn halves_used([_, ma, mb, aa, ab, bb]: &[i8; 6]) -> u8 {
    u8::from([ma, aa, ab].iter().any(|s| **s != 0)) + u8::from([mb, ab, bb].iter().any(|s| **s != 0))
}

/// The cheapest signs of MM, MA, MB, AA, AB, BB for each filling of AA, AB, BB.
fn tops() -> [([i8; 6], u8); 8] {
    let mut best = [([0; 6], u8::MAX); 8];
    for code in 0..729_usize {
        let signs: [i8; 6] = std::array::from_fn(|i| SIGNS[code / 3_usize.pow(i as u32) % 3]);
        let [mm, ma, mb, aa, ab, bb] = signs;
        let filled = [mm + ma + aa, mm + ma + mb + ab, mm + mb + bb];
        if filled.iter().all(|f| (0..=1).contains(f)) {
            let at = (filled[0] | filled[1] << 1 | filled[2] << 2) as usize;
            let cost = signs.iter().map(|s| s.unsigned_abs()).sum();
            let (least, known) = (best[at].1, best[at].0);
            if (cost, halves_used(&signs)) < (least, halves_used(&known)) {
                best[at] = (signs, cost);
            }
        }
    }
    best
}

fn find_cross(rows_are_leaves: [bool; 2], column_is_leaf: bool, pattern: u16) -> Cross {
    let fits =
        |adds: Adds| adds.iter().all(|a| (-1..=1).contains(a)) && (!column_is_leaf || adds[0] == adds[1]);
    let minus = |a: Adds, b: Adds| [a[0] - b[0], a[1] - b[1]];
    let mut best: Option<(Rank, Cross)> = None;
    for whole in all_adds().filter(|&m| fits(m)) {
        let mut found = Cross {
            top: [whole, [0; 2], [0; 2]],
            cost: pair_cost(whole),
            ..Cross::default()
        };
        let mut possible = true;
        for (half, &half_is_leaf) in rows_are_leaves.iter().enumerate() {
            let row = |r: usize| [bit(pattern, half * 4 + r * 2), bit(pattern, half * 4 + r * 2 + 1)];
            // (all edges, those at the children), what the half and its children add.
            let mut least: Option<(Rank, Adds, [Adds; 2])> = None;
            for adds in all_adds().filter(|&a| fits(a)) {
                let filled = [whole[0] + adds[0], whole[1] + adds[1]];
                let rest = [minus(row(0), filled), minus(row(1), filled)];
                let corrected = rest == [[0; 2]; 2] || !half_is_leaf;
                if filled.iter().all(|f| (0..=1).contains(f)) && corrected && rest.iter().all(|&r| fits(r)) {
                    let deep = pair_cost(rest[0]) + pair_cost(rest[1]);
                    let rank = (pair_cost(adds) + deep, u8::from(adds != [0; 2]), deep);
                    if least.as_ref().is_none_or(|(r, ..)| rank < *r) {
                        least = Some((rank, adds, rest));
                    }
                }
            }
            let Some(((cost, _, deep), adds, rest)) = least else {
                possible = false;
                break;
            };
            found.cost += cost;
            found.deep_cost += deep;
            found.top[1 + half] = adds;
            for child in 0..2 {
                found.deep[2 * half + child] = rest[child];
                found.pattern |= ((whole[child] + adds[child]) as u8) << (2 * half + child);
            }
        }
        let rank = (
            found.cost,
            found.top[1..].iter().filter(|a| **a != [0; 2]).count() as u8,
            found.deep_cost,
        );
        if possible && best.as_ref().is_none_or(|(r, _)| rank < *r) {
            best = Some((rank, found));
        }
    }
    best.map(|(_, found)| found).unwrap_or_default()
}

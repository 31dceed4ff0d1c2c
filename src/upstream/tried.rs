//! The servers one request has tried.
//!
//! Owns: the set. May touch: nothing of ours. Next: `eligible` asks it, the retry loop fills it.

/// Member indices of one upstream; allocates only for an index of 64 or more.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    low: u64,
    /// A request tries a handful, so a list is searched faster than a set.
    high: Vec<usize>,
}

impl Tried {
    /// Adds `index`; once is enough.
    pub fn insert(&mut self, index: usize) {
        if index < 64 {
            self.low |= 1 << index;
        } else if !self.high.contains(&index) {
            self.high.push(index);
        }
    }

    /// Whether `index` was tried.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        if index < 64 { self.low & (1 << index) != 0 } else { self.high.contains(&index) }
    }

    /// Whether nothing was tried.
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_empty()
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.low.count_ones() as usize + self.high.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set_on_both_sides_of_64() {
        let mut tried = Tried::default();
        assert!(tried.is_empty());
        for index in [0, 63, 64, 900, 900, 0] {
            tried.insert(index);
        }
        assert_eq!(tried.len(), 4);
        assert!([0, 63, 64, 900].into_iter().all(|index| tried.contains(index)));
        assert!(![1, 62, 65, 901].into_iter().any(|index| tried.contains(index)));
    }
}

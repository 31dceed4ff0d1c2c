//! The servers one request has tried.
//!
//! Owns: the set. May touch: nothing outside this room. Next: `eligible` asks it, the retry loop
//! fills it.

/// Member indices of one upstream. Most requests try one server, and a short list is searched
/// faster than a set.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    first: Option<u32>,
    more: Vec<u32>,
}

impl Tried {
    /// Adds `index`; once is enough.
    pub fn insert(&mut self, index: usize) {
        match self.first {
            None => self.first = Some(index as u32),
            Some(_) if self.contains(index) => {}
            Some(_) => self.more.push(index as u32),
        }
    }

    /// Takes `index` out again.
    pub fn remove(&mut self, index: usize) {
        let index = index as u32;
        self.more.retain(|it| *it != index);
        if self.first == Some(index) {
            self.first = self.more.pop();
        }
    }

    /// Whether `index` was tried.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        let index = index as u32;
        self.first == Some(index) || self.more.contains(&index)
    }

    /// Whether nothing was tried.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set() {
        let mut tried = Tried::default();
        assert!(tried.is_empty());
        for index in [900, 0, 64, 63, 0, 900] {
            tried.insert(index);
        }
        assert_eq!(tried.len(), 4);
        assert!([0, 63, 64, 900].into_iter().all(|index| tried.contains(index)));
        assert!(![1, 62, 65, 901].into_iter().any(|index| tried.contains(index)));
        for index in [900, 64, 5] {
            tried.remove(index);
        }
        assert_eq!(tried.len(), 2);
        assert!(tried.contains(0) && tried.contains(63));
    }
}

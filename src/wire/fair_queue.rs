//! A bounded queue that is fair: whoever waits in it has a turn after everybody else's next one, however many items of
//! his wait (round robin; Nagle, RFC 970).
//!
//! A full queue takes the last item of the owner who has most, if the newcomer has less (longest queue drop). So
//! nobody keeps others out by filling it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The queue, of items that each have an owner.
#[derive(Debug)]
pub(crate) struct FairQueue<O, T> {
    by_owner: HashMap<O, VecDeque<T>>,
    /// The owners of items, each once, in the order of their turns.
    turns: VecDeque<O>,
    length: usize,
    capacity: usize,
}

/// The queue is full, and its owner has no less in it than everybody else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<O: Copy + Eq + Hash, T> FairQueue<O, T> {
    /// An empty queue for so many items, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let (by_owner, turns) = (HashMap::new(), VecDeque::new());
        Self { by_owner, turns, length: 0, capacity: capacity.max(1) }
    }

    /// The number of items.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Returns whether there is no room.
    pub(crate) fn is_full(&self) -> bool {
        self.length >= self.capacity
    }

    /// Adds an item of `owner`. Returns the one that had to make room for it.
    ///
    /// # Errors
    /// [`Full`]; then nothing changed.
    pub(crate) fn push(&mut self, owner: O, item: T) -> Result<Option<T>, Full> {
        let dropped = if self.is_full() { Some(self.drop_longest(owner)?) } else { None };
        let items = self.by_owner.entry(owner).or_default();
        if items.is_empty() {
            self.turns.push_back(owner);
        }
        items.push_back(item);
        self.length += 1;
        Ok(dropped)
    }

    /// The next item in turn.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let owner = self.turns.pop_front()?;
        let items = self.by_owner.get_mut(&owner)?;
        let item = items.pop_front()?;
        if items.is_empty() {
            self.by_owner.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        self.length -= 1;
        Some(item)
    }

    /// Keeps only some of the items.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        self.by_owner.retain(|_, items| {
            items.retain(&is_kept);
            !items.is_empty()
        });
        self.turns.retain(|owner| self.by_owner.contains_key(owner));
        self.length = self.by_owner.values().map(VecDeque::len).sum();
    }

    /// Takes the last item of the owner who has most.
    fn drop_longest(&mut self, newcomer: O) -> Result<T, Full> {
        let own = self.by_owner.get(&newcomer).map_or(0, VecDeque::len);
        let longest = self.by_owner.iter_mut().max_by_key(|(_, items)| items.len());
        // Otherwise the newcomer would have more than he.
        let (_, items) = longest.filter(|(_, items)| items.len() > own + 1).ok_or(Full)?;
        let dropped = items.pop_back().ok_or(Full)?;
        self.length -= 1;
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;

    use proptest::prelude::*;

    use super::*;

    fn of(capacity: usize, items: &[(char, u32)]) -> FairQueue<char, (char, u32)> {
        let mut queue = FairQueue::new(capacity);
        for item in items {
            assert_eq!(queue.push(item.0, *item), Ok(None));
        }
        queue
    }

    fn drained(mut queue: FairQueue<char, (char, u32)>) -> Vec<(char, u32)> {
        from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn each_owner_has_a_turn_and_its_items_keep_their_order() {
        let queue = of(9, &[('a', 1), ('a', 2), ('a', 3), ('b', 1), ('c', 1), ('b', 2)]);
        let expected = [('a', 1), ('b', 1), ('c', 1), ('a', 2), ('b', 2), ('a', 3)];
        assert_eq!(drained(queue), expected);
    }

    #[test]
    fn a_full_queue_takes_from_whoever_has_most_and_never_from_those_with_no_more_than_the_newcomer()
     {
        let mut queue = of(4, &[('a', 1), ('a', 2), ('a', 3), ('b', 1)]);
        assert_eq!(queue.push('a', ('a', 4)), Err(Full), "it has most itself");
        assert_eq!(queue.push('c', ('c', 1)), Ok(Some(('a', 3))));
        assert_eq!(
            queue.push('c', ('c', 2)),
            Err(Full),
            "it would only take the place of the longest"
        );
        assert_eq!(queue.push('d', ('d', 1)), Ok(Some(('a', 2))));
        assert_eq!(queue.push('e', ('e', 1)), Err(Full), "everybody has one");
        assert_eq!(drained(queue), [('a', 1), ('b', 1), ('c', 1), ('d', 1)]);
    }

    #[test]
    fn items_that_are_not_kept_make_room_and_lose_their_turns() {
        let mut queue = of(3, &[('a', 1), ('b', 1), ('a', 2)]);
        queue.retain(|item| item.0 == 'b');
        assert_eq!((queue.len(), queue.is_full()), (1, false));
        assert_eq!(queue.push('a', ('a', 3)), Ok(None));
        assert_eq!(drained(queue), [('b', 1), ('a', 3)]);
    }

    proptest! {
        #[test]
        fn no_item_is_lost_or_doubled_and_the_bound_holds(
            steps in prop::collection::vec((0_u8..5, any::<bool>()), 0..200),
        ) {
            let (mut queue, mut inside, mut number) = (FairQueue::new(8), Vec::new(), 0_u32);
            for (owner, is_push) in steps {
                number += 1;
                if !is_push {
                    let popped = queue.pop();
                    prop_assert_eq!(popped.is_none(), inside.is_empty());
                    inside.retain(|item| Some(*item) != popped);
                } else if let Ok(dropped) = queue.push(owner, number) {
                    inside.push(number);
                    inside.retain(|item| Some(*item) != dropped);
                }
                prop_assert_eq!(queue.len(), inside.len());
                prop_assert!(queue.len() <= 8);
            }
            let mut rest: Vec<_> = from_fn(|| queue.pop()).collect();
            rest.sort_unstable();
            prop_assert_eq!(rest, inside);
        }
    }
}

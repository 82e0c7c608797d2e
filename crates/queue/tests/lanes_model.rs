//! The lanes against a model: four deques and a turn.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::VecDeque;
use std::time::Duration;

use cortica_queue::{Closed, Lane, PopError, PriorityLanes, PushError};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    TryPush(Lane),
    /// Only where it does not wait.
    Push(Lane),
    /// As many into one lane, one after another.
    Fill(Lane, usize),
    TryPop,
    /// Only where it does not wait.
    Pop,
    PopTimeout,
    /// As many pops, one after another.
    Drain(usize),
    Close,
}

fn ops() -> impl Strategy<Value = (usize, Vec<Op>)> {
    let lane = || proptest::sample::select(&Lane::ALL[..]);
    let op = prop_oneof![
        20 => lane().prop_map(Op::TryPush),
        10 => lane().prop_map(Op::Push),
        5 => (lane(), 0..12_usize).prop_map(|(lane, count)| Op::Fill(lane, count)),
        20 => Just(Op::TryPop),
        10 => Just(Op::Pop),
        3 => Just(Op::PopTimeout),
        3 => (0..40_usize).prop_map(Op::Drain),
        1 => Just(Op::Close),
    ];
    let capacity = prop_oneof![Just(1_usize), Just(2), 3..20_usize];
    (capacity, proptest::collection::vec(op, 0..200))
}

/// What the documentation of `PriorityLanes` says, word by word.
#[derive(Default)]
struct Model {
    lanes: [VecDeque<u32>; 4],
    capacity: usize,
    turn: usize,
    closed: bool,
}

impl Model {
    fn push(&mut self, lane: Lane, item: u32) -> Result<(), PushError<u32>> {
        if self.closed {
            return Err(PushError::Closed(item));
        }
        if self.is_full(lane) {
            return Err(PushError::Full(item));
        }
        self.lanes[lane as usize].push_back(item);
        Ok(())
    }

    fn pop(&mut self) -> Result<(Lane, u32), PopError> {
        let own = match self.turn % 16 {
            3 | 11 => Lane::High,
            7 => Lane::Normal,
            15 => Lane::Low,
            _ => Lane::Critical,
        };
        self.turn += 1;
        let mut order = [own].into_iter().chain(Lane::ALL);
        let found = order.find_map(|lane| Some((lane, self.lanes[lane as usize].pop_front()?)));
        found.ok_or(if self.closed {
            PopError::Closed
        } else {
            PopError::Empty
        })
    }

    fn is_full(&self, lane: Lane) -> bool {
        self.lanes[lane as usize].len() == self.capacity
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }
}

proptest! {
    #[test]
    fn like_four_deques_and_a_turn((capacity, ops) in ops()) {
        let lanes = PriorityLanes::new(capacity).unwrap();
        let mut model = Model { capacity, ..Model::default() };
        let mut items = 0..;
        for op in ops {
            match op {
                Op::TryPush(lane) => {
                    let item = items.next().unwrap();
                    prop_assert_eq!(lanes.try_push(lane, item), model.push(lane, item));
                }
                Op::Push(lane) => {
                    if model.closed || !model.is_full(lane) {
                        let item = items.next().unwrap();
                        let want = model.push(lane, item).map_err(|refused| Closed(refused.into_inner()));
                        prop_assert_eq!(lanes.push(lane, item), want);
                    }
                }
                Op::Fill(lane, count) => {
                    for item in items.by_ref().take(count) {
                        prop_assert_eq!(lanes.try_push(lane, item), model.push(lane, item));
                    }
                }
                Op::TryPop => prop_assert_eq!(lanes.try_pop(), model.pop()),
                Op::Pop => {
                    if model.closed || !model.is_empty() {
                        prop_assert_eq!(lanes.pop(), model.pop().ok());
                    }
                }
                Op::PopTimeout => {
                    // One that waits in vain may use up any number of turns.
                    if model.closed || !model.is_empty() {
                        prop_assert_eq!(lanes.pop_timeout(Duration::from_mins(1)), model.pop());
                    }
                }
                Op::Drain(count) => {
                    for _ in 0..count {
                        prop_assert_eq!(lanes.try_pop(), model.pop());
                    }
                }
                Op::Close => {
                    lanes.close();
                    model.closed = true;
                }
            }
            let lens = Lane::ALL.map(|lane| model.lanes[lane as usize].len());
            prop_assert_eq!(Lane::ALL.map(|lane| lanes.len(lane)), lens);
            prop_assert_eq!(lanes.is_empty(), model.is_empty());
            prop_assert_eq!(lanes.is_closed(), model.closed);
            let stats = lanes.stats();
            prop_assert_eq!((stats.lens, stats.capacity, stats.closed), (lens, capacity, model.closed));
        }
    }
}

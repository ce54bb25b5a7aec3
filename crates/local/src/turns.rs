//! Turns: at most `n` generations at once, first come first served.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often somebody who waits is asked whether to go on waiting.
const ASK: Duration = Duration::from_millis(50);

/// A fair, cancellable semaphore.
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct Queue {
    running: usize,
    next: u64,
    waiting: VecDeque<u64>,
}

/// A turn; given back when dropped.
pub(crate) struct Turn<'a>(&'a Turns);

// === impl Turns ===

impl Turns {
    /// `limit` of zero counts as one.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            limit: limit.max(1),
        }
    }

    /// Waits for a turn; `None` when `waiting`, asked every now and then, breaks off.
    pub(crate) fn take(&self, mut waiting: impl FnMut() -> ControlFlow<()>) -> Option<Turn<'_>> {
        let mut queue = self.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push_back(ticket);
        loop {
            if queue.running < self.limit && queue.waiting.front() == Some(&ticket) {
                queue.waiting.pop_front();
                queue.running += 1;
                // Several turns may have become free at once: the next in line looks again.
                self.changed.notify_all();
                return Some(Turn(self));
            }
            queue = self
                .changed
                .wait_timeout(queue, ASK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if queue.running < self.limit && queue.waiting.front() == Some(&ticket) {
                continue;
            }
            // The callback is foreign code: it is never called with the lock held.
            drop(queue);
            let go_on = waiting();
            queue = self.lock();
            if go_on.is_break() {
                queue.waiting.retain(|other| *other != ticket);
                self.changed.notify_all();
                return None;
            }
        }
    }

    /// Nothing is left half done when a holder of the lock panics, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn go_on() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn never_more_than_the_limit_at_once() {
        let turns = Turns::new(2);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _turn = turns.take(go_on).unwrap();
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert!(turns.take(go_on).is_some(), "all turns were given back");
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let turns = Turns::new(1);
        let (order, seen) = mpsc::channel();
        thread::scope(|scope| {
            let first = turns.take(go_on).unwrap();
            for i in 0..4 {
                let (order, turns) = (order.clone(), &turns);
                scope.spawn(move || {
                    let _turn = turns.take(go_on).unwrap();
                    order.send(i).unwrap();
                });
                // The next one asks only when this one is in line.
                while turns.lock().waiting.len() <= i {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        drop(order);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn whoever_gives_up_does_not_block_those_behind() {
        let turns = Turns::new(1);
        let held = turns.take(go_on).unwrap();
        assert!(turns.take(|| ControlFlow::Break(())).is_none());
        drop(held);
        assert!(turns.take(go_on).is_some());
    }
}

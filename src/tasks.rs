//! Background work that must end before its instance does.
//!
//! The instance of a response lives on after it, but the instance of a message ends with the message, on every
//! host. So background work of a message is run beside the handler, and then to its end.

use futures_util::stream::{FuturesUnordered, Stream};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Background work that is polled by whoever waits for it.
#[derive(Default)]
pub struct Tasks {
    /// Work added since the last poll.
    new: RefCell<Vec<Task>>,
    running: RefCell<FuturesUnordered<Task>>,
}

impl Tasks {
    /// Adds `work`. It makes progress only in [`Tasks::beside`] and [`Tasks::finish`].
    pub fn add(&self, work: impl Future<Output = ()> + 'static) {
        self.new.borrow_mut().push(Box::pin(work));
    }

    /// Waits for `work`, and runs the added work meanwhile.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let done = work.as_mut().poll(context);
            let _ = self.poll(context);
            done
        })
        .await
    }

    /// Runs all added work, and what that adds in turn, to its end.
    pub async fn finish(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut running = self.running.borrow_mut();
        loop {
            running.extend(self.new.take());
            match Pin::new(&mut *running).poll_next(context) {
                Poll::Ready(Some(())) => {}
                // The task that ended last may have added another.
                _ if !self.new.borrow().is_empty() => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Becomes ready after `left` polls.
    async fn turns(mut left: u32) {
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            Poll::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn work_goes_on_beside_what_adds_it_and_then_to_its_end() {
        let tasks = Rc::new(Tasks::default());
        let done = Rc::new(Cell::new(0));
        let add = |polls: u32| {
            let done = Rc::clone(&done);
            tasks.add(async move {
                turns(polls).await;
                done.set(done.get() + 1);
            });
        };
        tasks
            .beside(async {
                add(1);
                add(50);
                turns(10).await;
            })
            .await;
        assert_eq!(done.get(), 1);
        tasks.finish().await;
        assert_eq!(done.get(), 2);
    }

    #[test]
    fn work_may_add_work() {
        let tasks = Rc::new(Tasks::default());
        let done = Rc::new(Cell::new(false));
        let (adder, flag) = (Rc::clone(&tasks), Rc::clone(&done));
        tasks.add(async move { adder.add(async move { flag.set(true) }) });
        assert_eq!(tasks.finish().now_or_never(), Some(()));
        assert!(done.get());
        assert_eq!(tasks.finish().now_or_never(), Some(()), "nothing is left");
    }
}

//! Topics: events that are published once and read by any number of readers, live or later.
//!
//! Redis pub/sub delivers at most once: who is not listening at that moment misses a message. So an event is added
//! to a Redis stream, and readers continue from their positions. Within what a topic keeps
//! ([`TopicsConfig`](crate::config::TopicsConfig): so many events, for so long) nothing is lost and the order never
//! changes; beyond that a reader is told that there is a [`gap`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`store`], [`publish`] | topics in Redis: reading and writing |
//! | [`follow`] | following topics as events come |
//! | [`position`], [`cursor`] | the position of a reader in one topic, and in several |
//! | [`gap`] | whether events were lost |
//! | [`listen`] | messages about topics on the pub/sub channel |
//! | [`sse`], [`stream`] | Server-Sent Events |
//! | [`token`] | who may read which topics |
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use spindrift::env::{Clock, Env};
//! use spindrift::topic::{NewEvent, News, Position, TopicName, Topics};
//! use std::rc::Rc;
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     id: u64,
//!     total: u32,
//! }
//!
//! async fn example<E: Env>(env: &E, topics: &Rc<Topics<E>>) -> Result<(), Box<dyn std::error::Error>> {
//!     let orders = TopicName::new("orders")?;
//!     let created = NewEvent::json(&Order { id: 7, total: 1999 })?.typed("created")?;
//!     topics.publish(&orders, &[created], Some("order-7-created")).await?;
//!
//!     // Everything that is kept, and then what comes within ten seconds.
//!     let mut follower = topics.follow([(orders, Some(Position::Earliest))]);
//!     let until = env.now().plus(Duration::from_secs(10));
//!     loop {
//!         let heard = follower.next(until).await?;
//!         if heard.is_empty() {
//!             return Ok(());
//!         }
//!         for one in heard {
//!             match one.news {
//!                 News::Event(event) => println!("{}: {}", event.id, event.json::<Order>()?.total),
//!                 News::Gap => println!("some orders were missed"),
//!             }
//!         }
//!     }
//! }
//! ```

pub mod cursor;
pub(crate) mod fanout;
mod feed;
pub mod follow;
pub mod gap;
pub mod listen;
pub mod message;
pub mod name;
pub mod position;
pub mod publish;
pub mod sse;
pub mod store;
pub mod stream;
pub mod token;
mod webhook;

pub use follow::{Follower, Heard, News};
pub use message::{Event, NewEvent};
pub use name::{Pattern, TopicName};
pub use position::{EventId, Position};
pub use publish::{PublishError, Published};
pub use store::Topics;

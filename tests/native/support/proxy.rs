//! A TCP proxy in front of Redis that misbehaves on demand.

use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How it treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards everything, in both directions.
    Forward,
    /// Accepts connections and never answers.
    Silent,
    /// Lets a connection be set up, then never answers.
    Deaf,
    /// Lets a connection be set up, then closes it at the first command.
    Hangup,
    /// Forwards commands, and closes the connection instead of sending the next reply; after that, forwards again.
    LoseReply,
    /// Accepts connections and closes them.
    Drop,
}

/// The proxy; it ends when this value is dropped.
pub(crate) struct Proxy {
    port: u16,
    state: Rc<State>,
    listening: Option<JoinHandle<()>>,
}

struct State {
    redis: Cell<u16>,
    mode: Cell<Mode>,
    accepted: Cell<usize>,
    heard: Cell<usize>,
    /// The next reply is lost.
    lost: Cell<bool>,
    changed: Notify,
    cut: Notify,
}

impl Proxy {
    /// A proxy in front of the server at port `redis`.
    pub(crate) async fn start(redis: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            redis: Cell::new(redis),
            mode: Cell::new(Mode::Forward),
            accepted: Cell::new(0),
            heard: Cell::new(0),
            lost: Cell::new(false),
            changed: Notify::new(),
            cut: Notify::new(),
        };
        let state = Rc::new(state);
        let listening = tokio::task::spawn_local(accept(listener, Rc::clone(&state)));
        Self { port, state, listening: Some(listening) }
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sets the mode from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.state.mode.set(mode);
    }

    /// Connects new connections to the server at port `redis` from now on.
    pub(crate) fn lead_to(&self, redis: u16) {
        self.state.redis.set(redis);
    }

    /// Closes every connection there is.
    pub(crate) fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Stops listening: connections are refused.
    pub(crate) async fn refuse(&mut self) {
        self.cut();
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
    }

    /// Listens again.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.listening = Some(tokio::task::spawn_local(accept(listener, Rc::clone(&self.state))));
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.get()
    }

    /// Returns once clients have sent more than when `count` was read.
    pub(crate) async fn heard_more_than(&self, count: usize) {
        while self.state.heard.get() <= count {
            self.state.changed.notified().await;
        }
    }

    /// How often clients sent something that was not forwarded.
    pub(crate) fn heard(&self) -> usize {
        self.state.heard.get()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

async fn accept(listener: TcpListener, state: Rc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.accepted.set(state.accepted.get() + 1);
        state.changed.notify_waiters();
        if state.mode.get() != Mode::Drop {
            tokio::task::spawn_local(serve(client, Rc::clone(&state)));
        }
    }
}

async fn serve(client: TcpStream, state: Rc<State>) {
    tokio::select! {
        () = pass(client, &state) => {}
        () = state.cut.notified() => {}
    }
}

async fn pass(client: TcpStream, state: &State) {
    let Ok(redis) = TcpStream::connect(("127.0.0.1", state.redis.get())).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_redis, mut to_redis) = redis.into_split();
    let forth = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            if passes(state.mode.get(), &buffer[..length]) {
                state.lost.set(state.mode.get() == Mode::LoseReply && !is_set_up(&buffer[..length]));
                let _ = to_redis.write_all(&buffer[..length]).await;
            } else {
                state.heard.set(state.heard.get() + 1);
                state.changed.notify_waiters();
                if state.mode.get() == Mode::Hangup {
                    return;
                }
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_redis.read(&mut buffer).await {
            if state.lost.take() {
                state.mode.set(Mode::Forward);
                return;
            }
            let _ = to_client.write_all(&buffer[..length]).await;
        }
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

fn passes(mode: Mode, said: &[u8]) -> bool {
    match mode {
        Mode::Forward | Mode::LoseReply => true,
        Mode::Silent | Mode::Drop => false,
        Mode::Deaf | Mode::Hangup => is_set_up(said),
    }
}

/// Whether this is what the `redis` crate sends when it sets up a connection.
fn is_set_up(said: &[u8]) -> bool {
    said.windows(7).any(|word| word == b"SETINFO")
}

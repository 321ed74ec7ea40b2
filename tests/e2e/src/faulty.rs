//! A TCP proxy in front of Redis that simulates network failures.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// The proxy; it ends with the test.
pub struct FaultyRedis {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    silent: bool,
    accepted: usize,
    open: Vec<TcpStream>,
}

impl FaultyRedis {
    /// A proxy that forwards everything to the server at `server`, until told otherwise.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { server, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepting.accept(stream);
            }
        });
        Self { address, shared }
    }

    /// `redis://host:port` of the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Accepts connections and keeps existing ones, but forwards nothing.
    ///
    /// # Panics
    /// If a thread of the proxy has panicked.
    pub fn silence(&self) {
        self.shared.state.lock().unwrap().silent = true;
    }

    /// Forwards again, also what was held back.
    ///
    /// # Panics
    /// If a thread of the proxy has panicked.
    pub fn speak(&self) {
        self.shared.state.lock().unwrap().silent = false;
        self.shared.changed.notify_all();
    }

    /// Closes all existing connections.
    ///
    /// # Panics
    /// If a thread of the proxy has panicked.
    pub fn cut(&self) {
        for stream in self.shared.state.lock().unwrap().open.drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections were accepted in total.
    ///
    /// # Panics
    /// If a thread of the proxy has panicked.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.state.lock().unwrap().accepted
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        self.state.lock().unwrap().accepted += 1;
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let copies = [client.try_clone(), server.try_clone()].map(|copy| copy.expect("a file descriptor"));
        self.state.lock().unwrap().open.extend(copies);
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (forth, back) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || forth.pump(from, to));
        std::thread::spawn(move || back.pump(server, client));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            drop(self.changed.wait_while(self.state.lock().unwrap(), |state| state.silent).unwrap());
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        _ = from.shutdown(Shutdown::Both);
        _ = to.shutdown(Shutdown::Both);
    }
}

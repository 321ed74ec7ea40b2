//! The commands that reach a Redis server.

use crate::redis::Redis;
use crate::wait::PATIENCE;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

/// `MONITOR`, on a connection of its own.
pub struct Monitor<'a> {
    redis: &'a Redis,
    lines: BufReader<TcpStream>,
}

impl<'a> Monitor<'a> {
    pub(crate) fn start(redis: &'a Redis) -> Self {
        let mut stream = TcpStream::connect(redis.address()).expect("redis-server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Self { redis, lines: BufReader::new(stream) };
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    /// The names of the commands that clients sent since the last call, without those in scripts, and without those
    /// that a client sends when it connects.
    ///
    /// # Panics
    /// When the server goes away.
    pub fn commands(&mut self) -> Vec<String> {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("mark-{}", MARKS.fetch_add(1, Ordering::Relaxed));
        let _: String = self.redis.query(&["ECHO", &mark]);
        let mut commands = Vec::new();
        loop {
            let line = self.line();
            if line.contains(&mark) {
                return commands;
            }
            // +1700000000.000000 [0 127.0.0.1:50000] "EVALSHA" "..."
            let from_script = line.contains("[0 lua]");
            if let Some(command) = line.split('"').nth(1).filter(|_| !from_script) {
                commands.push(command.to_ascii_uppercase());
            }
            commands.retain(|command| command != "CLIENT");
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).expect("MONITOR goes on");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }
}

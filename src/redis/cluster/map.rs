//! The map of slots and their owners.

use super::redirect::{announced, port_alone};
use super::slot::{SLOTS, Slot};
use crate::config::HostPort;
use crate::redis::RedisError;
use std::collections::BTreeMap;

/// The owner of every slot, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotMap {
    masters: Vec<HostPort>,
    /// For each slot the index of its owner in `masters`, or [`NOBODY`].
    owners: Vec<u16>,
    /// The names of nodes that are not called by their addresses, by those addresses.
    names: BTreeMap<HostPort, HostPort>,
}

const NOBODY: u16 = u16::MAX;

/// Which of the names that a node announces is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Its address.
    Address,
    /// Its host name, where it announces one (`cluster-announce-hostname`).
    Hostname,
}

/// One line of `CLUSTER NODES`, of a master.
struct Line<'a> {
    place: HostPort,
    epoch: u64,
    slots: Vec<&'a str>,
}

impl SlotMap {
    /// Parses the answer to `CLUSTER NODES` from the node at `asked`. It is a single text, so nothing is lost by flattening,
    /// as it would be with the replies to `CLUSTER SLOTS` and `CLUSTER SHARDS`.
    ///
    /// A slot that two masters claim belongs to the one with the greater epoch. A slot that is migrating belongs to its
    /// source until it has arrived.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when it is anything else.
    pub(super) fn parse(text: &str, asked: &HostPort, naming: Naming) -> Result<Self, RedisError> {
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            lines.extend(parse_line(line, asked, naming)?);
        }
        if lines.is_empty() {
            return Err(RedisError::reply("CLUSTER NODES with a master that has slots", "none"));
        }
        lines.sort_by_key(|line| line.epoch);
        // Of replicas too: one of them may take over.
        let names = text.lines().filter_map(|line| name(line, asked, naming)).collect();
        let mut map = Self { masters: Vec::new(), owners: vec![NOBODY; usize::from(SLOTS)], names };
        for line in lines {
            let number = map.number_of(line.place);
            for slots in line.slots {
                let range = range(slots).ok_or_else(|| RedisError::reply("slots such as 0-5460", slots))?;
                for owner in map.owners.get_mut(range).into_iter().flatten() {
                    *owner = number;
                }
            }
        }
        Ok(map)
    }

    /// Returns the master of a slot.
    #[must_use]
    pub(super) fn owner(&self, slot: Slot) -> Option<&HostPort> {
        let number = self.owners.get(usize::from(slot.number()))?;
        self.masters.get(usize::from(*number))
    }

    /// Makes the master at `place` the owner of `slot`.
    pub(super) fn assign(&mut self, slot: Slot, place: HostPort) {
        let number = self.number_of(place);
        if let Some(owner) = self.owners.get_mut(usize::from(slot.number())) {
            *owner = number;
        }
    }

    /// Returns the name by which the node at `place` is called. Redirects give its address, whatever it announces, unless
    /// `cluster-preferred-endpoint-type` is set.
    #[must_use]
    pub(super) fn called(&self, place: HostPort) -> HostPort {
        self.names.get(&place).cloned().unwrap_or(place)
    }

    /// Returns all masters that own slots.
    #[must_use]
    pub(super) fn masters(&self) -> &[HostPort] {
        &self.masters
    }

    /// Returns how many slots have no owner.
    #[must_use]
    pub(super) fn unowned(&self) -> usize {
        self.owners.iter().filter(|owner| **owner == NOBODY).count()
    }

    fn number_of(&mut self, place: HostPort) -> u16 {
        let number = self.masters.iter().position(|one| *one == place).unwrap_or_else(|| {
            self.masters.push(place);
            self.masters.len() - 1
        });
        // There are no more masters than slots.
        u16::try_from(number).unwrap_or(NOBODY)
    }
}

/// Parses `<id> <ip:port@cport[,hostname]> <flags> <master> <ping> <pong> <epoch> <link> <slot> ...`; `None` if the node
/// is not a master with slots.
fn parse_line<'a>(line: &'a str, asked: &HostPort, naming: Naming) -> Result<Option<Line<'a>>, RedisError> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, place, flags, _, _, _, epoch, _, slots @ ..] = &words[..] else {
        return Err(RedisError::reply("a line of CLUSTER NODES", &format!("{line:?}")));
    };
    let flag = |name: &str| flags.split(',').any(|flag| flag == name);
    // Slots in brackets are migrating: this node still owns them, or does not own them yet.
    let slots: Vec<&str> = slots.iter().filter(|slots| !slots.starts_with('[')).copied().collect();
    if !flag("master") || flag("noaddr") || flag("handshake") || slots.is_empty() {
        return Ok(None);
    }
    let wrong = || RedisError::reply("host:port@port of a node", place);
    let place = place_of(place, asked, naming).ok_or_else(wrong)?;
    let epoch = epoch.parse().map_err(|_| RedisError::reply("the epoch of a node", epoch))?;
    Ok(Some(Line { place, epoch, slots }))
}

/// Returns the address of a node and the name that is used instead; `None` where the address is used.
fn name(line: &str, asked: &HostPort, naming: Naming) -> Option<(HostPort, HostPort)> {
    let place = line.split_ascii_whitespace().nth(1)?;
    let called = place_of(place, asked, naming)?;
    let address = place_of(place, asked, Naming::Address)?;
    (address != called).then_some((address, called))
}

fn place_of(text: &str, asked: &HostPort, naming: Naming) -> Option<HostPort> {
    let (address, more) = text.split_once(',').unwrap_or((text, ""));
    // Servers before 4.0 announce no bus port: then all of it is the address.
    let address = address.split_once('@').map_or(address, |(address, _)| address);
    let hostname = more.split(',').next().unwrap_or_default();
    let port = address.rsplit_once(':')?.1;
    if naming == Naming::Hostname && !hostname.is_empty() && !hostname.contains('=') {
        return HostPort::parse(&format!("{hostname}:{port}"));
    }
    // A node that does not know its own address yet is at the address where it was asked.
    port_alone(address).map(|port| asked.with_port(port)).or_else(|| announced(address))
}

/// Parses `5` or `0-5460` to a range of indices.
fn range(text: &str) -> Option<std::ops::Range<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (Slot::new(first.parse().ok()?)?, Slot::new(last.parse().ok()?)?);
    (first <= last).then(|| usize::from(first.number())..usize::from(last.number()) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODES: &str = "\
        07c37df 10.0.0.1:7000@17000,node-1.example myself,master - 0 0 1 connected 0-5460 [93-<-292f8b]\n\
        67ed2db 10.0.0.2:7000@17000,,shard-id=69bc master - 0 1426238316232 2 connected 5461-10921 10923 [77->-e7d1ee]\n\
        292f8b3 10.0.0.3:7000@17000 master,fail - 1426238317741 0 3 disconnected 10924-16383\n\
        6ec2392 10.0.0.4:7000@17000,node-4.example slave 67ed2db 0 1426238316232 2 connected\n\
        824fe11 :0@0 master,noaddr - 0 0 0 disconnected\n\
        e7d1eec 10.0.0.5:7000@17000 master - 0 0 0 connected\n";

    fn place(text: &str) -> HostPort {
        HostPort::parse(text).unwrap()
    }

    fn parse(text: &str, naming: Naming) -> Result<SlotMap, RedisError> {
        SlotMap::parse(text, &place("seed.example:7000"), naming)
    }

    fn owner(map: &SlotMap, slot: u16) -> Option<String> {
        map.owner(Slot::new(slot).unwrap()).map(ToString::to_string)
    }

    #[test]
    fn masters_own_what_their_lines_say() {
        let map = parse(NODES, Naming::Address).unwrap();
        for (slot, expected) in [
            (0, Some("10.0.0.1:7000")),
            (93, Some("10.0.0.1:7000")),
            (77, Some("10.0.0.1:7000")),
            (5460, Some("10.0.0.1:7000")),
            (5461, Some("10.0.0.2:7000")),
            (10922, None),
            (10923, Some("10.0.0.2:7000")),
            (16383, Some("10.0.0.3:7000")),
        ] {
            assert_eq!(owner(&map, slot).as_deref(), expected, "{slot}");
        }
        assert_eq!(map.masters().len(), 3, "neither replicas nor who has no slots");
        assert_eq!(map.unowned(), 1);
    }

    #[test]
    fn host_names_are_used_where_they_are_wanted() {
        let map = parse(NODES, Naming::Hostname).unwrap();
        assert_eq!(owner(&map, 0).as_deref(), Some("node-1.example:7000"));
        assert_eq!(owner(&map, 6000).as_deref(), Some("10.0.0.2:7000"), "it announces none");
        for (address, called) in [
            ("10.0.0.1:7000", "node-1.example:7000"),
            ("10.0.0.4:7000", "node-4.example:7000"),
            ("10.0.0.2:7000", "10.0.0.2:7000"),
            ("10.0.0.9:7000", "10.0.0.9:7000"),
        ] {
            assert_eq!(map.called(place(address)), place(called));
        }
        let map = parse(NODES, Naming::Address).unwrap();
        assert_eq!(map.called(place("10.0.0.1:7000")), place("10.0.0.1:7000"));
    }

    #[test]
    fn a_node_that_does_not_know_its_address_is_where_it_was_asked() {
        let map = parse("a :7001@17001 myself,master - 0 0 1 connected 0-16383", Naming::Address).unwrap();
        assert_eq!(owner(&map, 1).as_deref(), Some("seed.example:7001"));
        let map = parse("a ::1:7001@17001 myself,master - 0 0 1 connected 7", Naming::Address).unwrap();
        assert_eq!(owner(&map, 7).as_deref(), Some("[::1]:7001"));
        let map = parse("a 10.0.0.1:7001 myself,master - 0 0 1 connected 7", Naming::Address).unwrap();
        assert_eq!(owner(&map, 7).as_deref(), Some("10.0.0.1:7001"));
    }

    #[test]
    fn of_two_claims_the_one_with_the_greater_epoch_counts() {
        for (one, other, expected) in [(5, 9, "10.0.0.2:1"), (9, 5, "10.0.0.1:1")] {
            let text = format!(
                "a 10.0.0.1:1@2 master - 0 0 {one} connected 0-9\nb 10.0.0.2:1@2 master - 0 0 {other} connected 5\n"
            );
            assert_eq!(owner(&parse(&text, Naming::Address).unwrap(), 5).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        for bad in [
            "",
            "OK",
            "a 10.0.0.1:1@2 master - 0 0 1 connected",
            "a 10.0.0.1@2 master - 0 0 1 connected 1",
            "a 10.0.0.1:0@2 master - 0 0 1 connected 1",
            "a 10.0.0.1:1@2 master - 0 0 x connected 1",
            "a 10.0.0.1:1@2 master - 0 0 1 connected 9-1",
            "a 10.0.0.1:1@2 master - 0 0 1 connected 0-16384",
        ] {
            assert!(matches!(parse(bad, Naming::Address), Err(RedisError::Reply(_))), "{bad}");
        }
    }

    #[test]
    fn a_slot_that_moved_belongs_to_another() {
        let mut map = parse(NODES, Naming::Address).unwrap();
        map.assign(Slot::new(5).unwrap(), place("10.0.0.9:7000"));
        map.assign(Slot::new(6).unwrap(), place("10.0.0.2:7000"));
        assert_eq!(owner(&map, 5).as_deref(), Some("10.0.0.9:7000"));
        assert_eq!(owner(&map, 6).as_deref(), Some("10.0.0.2:7000"));
        assert_eq!(owner(&map, 4).as_deref(), Some("10.0.0.1:7000"));
        assert_eq!(map.masters().len(), 4);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_problem(text in "\\PC{0,60}", line in "a [0-9:.@,a-z]{0,16} master - 0 0 [0-9]{1,3} c [0-9 \\[-]{0,12}") {
            let _ = (parse(&text, Naming::Address), parse(&line, Naming::Hostname));
        }

        #[test]
        fn every_slot_has_the_owner_that_was_given_it(ends in proptest::collection::btree_set(0u16..SLOTS, 1..8)) {
            let mut text = String::new();
            let mut from = 0;
            for (number, end) in ends.iter().enumerate() {
                text += &format!("n 10.0.0.1:{}@1 master - 0 0 {number} connected {from}-{end}\n", 7000 + number);
                from = end + 1;
            }
            let map = parse(&text, Naming::Address).unwrap();
            for slot in 0..SLOTS {
                let expected = ends.iter().position(|end| slot <= *end).map(|at| format!("10.0.0.1:{}", 7000 + at));
                prop_assert_eq!(owner(&map, slot), expected);
            }
            prop_assert_eq!(map.unowned(), usize::from(SLOTS - from));
        }
    }
}

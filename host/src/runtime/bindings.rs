//! Bindings to Spin's own interfaces, generated from their WIT.

#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]

wasmtime::component::bindgen!({
    path: ["../wit/deps/spin-redis@3.0.0", "../wit/deps/spin-variables@3.0.0"],
    inline: "
        package spindrift:host;
        world spin {
            import spin:redis/redis@3.0.0;
            import spin:variables/variables@3.0.0;
            export spin:redis/inbound-redis@3.0.0;
        }
    ",
    world: "spindrift:host/spin",
    imports: { default: async },
    exports: { default: async },
    with: { "spin:redis/redis.connection": crate::outbound::redis::Connection },
});

pub(crate) use self::exports::spin::redis::inbound_redis;
pub(crate) use self::spin::redis::redis;
pub(crate) use self::spin::variables::variables;

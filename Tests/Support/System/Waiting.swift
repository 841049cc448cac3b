internal import NatterSystem
internal import TestSupport

/// Waits for the value that `begin` passes to its callback.
package func waitFor<Value: Sendable>(_ begin: (@escaping @Sendable (Value) -> Void) throws -> Void) throws -> Value {
    let result = Monitor<Value?>(nil)
    try begin { value in result.signal { $0 = value } }
    guard let value = result.wait(timeoutMilliseconds: 60_000, until: { $0 }) else {
        throw Failure("no answer in a minute")
    }
    return value
}

/// Runs `body` on `count` threads concurrently, and returns their results in order.
package func concurrently<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let results = Monitor<[Int: Result<Value, any Error>]>([:])
    let threads = try (0..<count).map { index in
        try SystemThread(name: "test-client") {
            let result = Result { try body(index) }
            results.signal { $0[index] = result }
        }
    }
    for thread in threads { thread.join() }
    let all = results.withLock { $0 }
    return try (0..<count).compactMap { try all[$0]?.get() }
}

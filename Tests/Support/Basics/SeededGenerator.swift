internal import Glibc

/// SplitMix64. The same seed gives the same numbers on every machine.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    package mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    package mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
    /// True in one of `count` calls, on average.
    package mutating func once(in count: Int) -> Bool { int(1...count) == 1 }

    /// A number whose length in bits is random, so that short and long encodings are equally likely.
    package mutating func number() -> UInt64 {
        let bits = UInt64.random(in: 0...64, using: &self)
        return bits == 0 ? 0 : next() >> (64 - bits)
    }
}

/// The seeds of a test. To reproduce a failure, `NATTER_FAULT_SEED` replaces them with one seed.
package func seeds(_ standard: ClosedRange<UInt64>) -> [UInt64] {
    if let given: UInt64 = number(inEnvironment: "NATTER_FAULT_SEED") { return [given] }
    return Array(standard)
}

/// A seed or a size that the environment gives.
package func number<Number: FixedWidthInteger>(inEnvironment name: String) -> Number? {
    getenv(name).flatMap { Number(String(cString: $0)) }
}

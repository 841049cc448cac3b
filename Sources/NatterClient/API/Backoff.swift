internal import Glibc

/// The pauses between the attempts at one thing. Each is twice as long as the one before.
public struct Backoff: Sendable {
    /// For a message, whose sender waits.
    public static let sending = Backoff(firstMilliseconds: 50, longestMilliseconds: 2_000)
    /// For a command that waits for news. A random part spreads the clients that come back after the server restarts.
    public static let following = Backoff(firstMilliseconds: 250, longestMilliseconds: 30_000, isSpread: true)
    /// For a user's command that fails.
    public static let rerunning = Backoff(firstMilliseconds: 1_000, longestMilliseconds: 60_000)

    /// How long a `Retry-After` is obeyed at most. No server may stop a client for a day.
    private static let longestAskedSeconds = 300

    private let longestMilliseconds: Int64
    private let isSpread: Bool
    private var milliseconds: Int64

    private init(firstMilliseconds: Int64, longestMilliseconds: Int64, isSpread: Bool = false) {
        (milliseconds, self.longestMilliseconds, self.isSpread) = (firstMilliseconds, longestMilliseconds, isSpread)
    }

    /// How many milliseconds to wait, longer than the server asks.
    public mutating func next(after error: (any Error)? = nil) -> Int64 {
        let own = isSpread ? Int64.random(in: milliseconds / 2...milliseconds) : milliseconds
        milliseconds = min(milliseconds * 2, longestMilliseconds)
        let asked = error.flatMap { RequestError(in: $0) }?.retryAfterSeconds ?? 0
        return Int64(min(asked, Backoff.longestAskedSeconds)) * 1_000 + own
    }

    /// Sleeps for some milliseconds, unless they are over.
    public static func sleep(milliseconds: Int64) { usleep(UInt32(clamping: max(0, milliseconds) * 1_000)) }
}

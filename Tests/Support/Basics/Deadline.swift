internal import Glibc

/// A time at which to stop waiting.
package struct Deadline {
    private let end: Int
    package init(milliseconds: Int = ChildProcess.patienceMilliseconds) { end = Deadline.now() + milliseconds }
    package var leftMilliseconds: Int32 { Int32(clamping: max(0, end - Deadline.now())) }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }
}

/// Waits for a condition that no event announces, such as a file of another process.
///
/// - Throws: `Failure` with `what` if the condition does not become true in time.
package func eventually(
    _ what: String, milliseconds: Int = ChildProcess.patienceMilliseconds, _ condition: () throws -> Bool
) throws {
    let deadline = Deadline(milliseconds: milliseconds)
    while try !condition() {
        guard deadline.leftMilliseconds > 0 else { throw Failure("it never happened: \(what)") }
        usleep(2_000)
    }
}

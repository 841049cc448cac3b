internal import Glibc
internal import NatterSystem

/// Ends a program whose output is a pipe that its reader has closed, as `grep -m 1` does. A write would fail, but a program
/// that waits for something else would not notice for as long as it waits.
public final class ReaderWatch: Sendable {
    private let isWaiting = Monitor(false)

    /// Starts a thread that ends the process with the status of a closed pipe. It does so only inside `whileWaiting`.
    ///
    /// - Throws: `DiskError` if no thread can be started.
    public init(_ output: Output) throws {
        guard let descriptor = output.descriptor else { return }
        let thread = try SystemThread(name: "natter-reader") { [isWaiting] in
            var request = pollfd(fd: descriptor, events: 0, revents: 0)
            // A pipe whose last reader has gone is in error.
            // Signals are for the thread that works, because it blocks them while it replaces a file.
            _ = blockingSignals { retrying { poll(&request, 1, -1) } }
            guard request.revents & Int16(POLLERR) != 0 else { return }
            isWaiting.wait { $0 ? _exit(ExitCode.closedPipe.rawValue) : nil }
        }
        thread.detach()
    }

    /// Runs `body`, at any point of which the process may end.
    public func whileWaiting<Result>(_ body: () throws -> Result) rethrows -> Result {
        isWaiting.signal { $0 = true }
        defer { isWaiting.signal { $0 = false } }
        return try body()
    }
}

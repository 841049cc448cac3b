internal import Glibc

/// Repeats a call that a signal interrupted.
@inline(__always)
@discardableResult
public func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// Runs `body` without a signal in this thread. Those that arrive meanwhile are handled after it.
public func blockingSignals<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    var all = sigset_t()
    var former = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &former)
    defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
    return try body()
}

/// read(2) that waits for bytes even if another program that shares the pipe has made it non-blocking.
///
/// - Returns: the number of bytes read, 0 at the end, or -1 with `errno`.
public func readWaiting(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ limit: Int) -> Int {
    while true {
        let count = retrying { read(descriptor, bytes, limit) }
        if count >= 0 || errno != EAGAIN { return count }
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&request, 1, -1)
    }
}

/// What a line ended with.
public enum LineEnd: Sendable { case newline, input, limit }

/// Reads one line byte by byte, without its newline, because what follows is another reader's. It waits for each byte.
///
/// - Returns: nil after an error, which is in `errno`.
public func readLine(_ descriptor: Int32, limit: Int) -> (bytes: [UInt8], end: LineEnd)? {
    var bytes: [UInt8] = []
    while bytes.count < limit {
        var byte: UInt8 = 0
        let count = readWaiting(descriptor, &byte, 1)
        if count < 0 { return nil }
        if count == 0 { return (bytes, .input) }
        if byte == UInt8(ascii: "\n") { return (bytes, .newline) }
        bytes.append(byte)
    }
    return (bytes, .limit)
}

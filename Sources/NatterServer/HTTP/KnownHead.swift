internal import Glibc

/// A head that was read, and what the handler made of it.
///
/// A client that keeps its connection, such as a bot or the page, mostly sends the same head again. To read it, find its route
/// and hash its token takes 25,000 instructions, to compare it a few hundred.
final class KnownHead {
    let head: RequestHead
    let target: RequestTarget
    let plan: @Sendable () -> BodyPlan
    /// As libmicrohttpd left it, with the NULs that it puts into it. Empty if it is too long to be kept.
    private let bytes: [UInt8]

    /// Thousands of connections may wait for their next request. Most heads have some hundred bytes.
    private static let longest = 1_024

    init(
        _ bytes: UnsafeRawBufferPointer, _ head: RequestHead, _ target: RequestTarget,
        plan: @escaping @Sendable () -> BodyPlan
    ) {
        (self.head, self.target, self.plan) = (head, target, plan)
        self.bytes = bytes.count <= KnownHead.longest ? Array(bytes) : []
    }

    /// Whether the next request may share it. Each request of a proxy is of another client, who is counted.
    var mayComeAgain: Bool { !bytes.isEmpty && !head.isProxied && target.authority == nil }

    /// Whether a request with the same target has this head.
    ///
    /// - Parameter headerCount: how many headers the library found. Where a value has NULs, the bytes do not tell.
    func isOf(_ bytes: UnsafeRawBufferPointer, headerCount: Int) -> Bool {
        guard let start = bytes.baseAddress, bytes.count == self.bytes.count, headerCount == head.headers.count else {
            return false
        }
        return memcmp(start, self.bytes, bytes.count) == 0
    }
}

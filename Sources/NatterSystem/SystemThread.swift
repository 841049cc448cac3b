internal import CSystem
internal import Glibc

/// A thread of the operating system that another thread can join.
public final class SystemThread: Sendable {
    private let handle: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts `body` on a new thread. The thread blocks all signals, so that the main thread receives them. `top -H`
    /// shows `name`, which has at most 15 bytes.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(DiskError) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(
            Body {
                natter_name_thread(name)
                body()
            })
        let code = blockingSignals {
            pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                    return nil
                }, box.toOpaque())
        }
        guard code == 0 else {
            box.release()
            throw DiskError(code: Errno(rawValue: code), operation: "start thread", path: name)
        }
        handle = thread
    }

    /// Lets the thread end by itself. Call it instead of `join`.
    public func detach() { pthread_detach(handle) }

    /// Waits until the thread ends. Call it once.
    public func join() { pthread_join(handle, nil) }
}

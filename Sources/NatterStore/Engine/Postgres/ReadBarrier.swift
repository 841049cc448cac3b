internal import NatterSystem

/// Lets many threads share one look at the log's end. Each gets a look that began after it asked, so it sees everything
/// that any server has acknowledged before.
final class ReadBarrier: Sendable {
    private struct State {
        var isLooking = false
        var begun: UInt64 = 0
        /// The latest look that is over, and what came of it.
        var done: UInt64 = 0
        var latest: Result<LogPlace, any Error>?
    }

    private let state = Monitor(State())

    func head(_ look: () throws -> LogPlace) throws -> LogPlace {
        // The look under way began earlier, so it may have missed something. If it fails, the next one would, too.
        let (underWay, wanted) = state.withLock { ($0.isLooking ? $0.begun : nil, $0.begun + 1) }
        while true {
            let known = state.wait { state -> Result<LogPlace, any Error>?? in
                if state.done >= wanted { return .some(state.latest) }
                if let underWay, state.done == underWay, case .failure? = state.latest { return .some(state.latest) }
                guard !state.isLooking else { return nil }
                state.isLooking = true
                state.begun += 1
                return .some(nil)
            }
            if case .some(.some(let known)) = known { return try known.get() }
            let result = Result { try look() }
            state.signal { state in
                (state.isLooking, state.done, state.latest) = (false, state.begun, result)
            }
        }
    }
}

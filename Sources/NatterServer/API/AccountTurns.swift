internal import NatterStore
internal import NatterSystem

/// Lets each account do a few things at a time. The others wait, in order.
final class AccountTurns: Sendable {
    private struct Line {
        var busy = 0
        var waiting: [WorkerPool.Job] = []
    }

    private let width: Int
    private let limit: Int
    /// An account is here while it has a turn.
    private let lines = Monitor<[AccountID: Line]>([:])

    /// - Parameters:
    ///   - width: how many turns an account may have at a time.
    ///   - limit: how many further ones may wait.
    init(width: Int, limit: Int = .max) { (self.width, self.limit) = (width, limit) }

    /// Begins something now or, on the thread that gives a turn back, later. It must not block.
    ///
    /// - Returns: false if too many wait. Then it is not begun.
    func take(for account: AccountID, _ begin: @escaping WorkerPool.Job) -> Bool {
        let isNow = lines.withLock { lines -> Bool? in
            let line = lines[account] ?? Line()
            if line.busy < width {
                lines[account, default: line].busy += 1
                return true
            }
            guard line.waiting.count < limit else { return nil }
            lines[account]?.waiting.append(begin)
            return false
        }
        if isNow == true { begin() }
        return isNow != nil
    }

    /// Gives a turn to the one that has waited longest.
    func giveBack(by account: AccountID) {
        let next = lines.withLock { lines -> WorkerPool.Job? in
            guard let line = lines[account] else { return nil }
            if !line.waiting.isEmpty { return lines[account]?.waiting.removeFirst() }
            if line.busy > 1 { lines[account]?.busy -= 1 } else { lines[account] = nil }
            return nil
        }
        next?()
    }
}

/// Searches, one at a time for each account: no account waits for all the searches of another.
final class SearchQueue: Sendable {
    /// How many searches of one account may wait for the one that runs.
    static let waitingPerAccount = 8

    private let pool: WorkerPool
    private let turns = AccountTurns(width: 1, limit: SearchQueue.waitingPerAccount)

    init(_ pool: WorkerPool) { self.pool = pool }

    /// - Returns: false if the account has too many searches. Then this one is not done.
    func submit(_ account: AccountID, _ job: @escaping WorkerPool.Job) -> Bool {
        turns.take(for: account) { [pool, turns] in
            pool.submitAlways(for: .account(account)) {
                job()
                turns.giveBack(by: account)
            }
        }
    }
}

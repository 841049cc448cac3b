internal import Foundation
internal import Glibc
internal import TestSupport

/// Writers and readers of `general`, each on a thread of its own, while servers of one store end and start. It knows what
/// one of them may not see otherwise than another.
///
/// Each asks another server for each request.
final class History: Sendable {
    private struct State: Sendable {
        var texts: [Int: String] = [:]
        var seqs: [String: Int] = [:]
        var violations: [String] = []
        var urls: [String]
        var isWriting = true
        var isReading = true
        var acknowledged = 0
        var endings: [Int] = []
    }

    private let state: Shared<State>
    private let tokens: [String]
    private let writers = DispatchGroup()
    private let readers = DispatchGroup()

    /// - Parameters:
    ///   - urls: the servers.
    ///   - tokens: sessions of the users who write and read.
    init(_ urls: [String], tokens: [String]) { (state, self.tokens) = (Shared(State(urls: urls)), tokens) }

    private func url(_ step: Int) -> String { state.withLock { $0.urls[step % $0.urls.count] } }
    func move(_ server: Int, to url: String) { state.withLock { $0.urls[server] = url } }
    private var mayWrite: Bool { state.withLock { $0.isWriting } }
    private var mayRead: Bool { state.withLock { $0.isReading } }

    /// How many messages were acknowledged.
    var count: Int { state.withLock { $0.acknowledged } }
    /// Events that should not have happened.
    var found: [String] { state.withLock { $0.violations } }
    private func report(_ violation: String) { state.withLock { $0.violations.append(violation) } }

    /// Records a message's seq, as its writer or a reader sees it.
    private func note(_ seq: Int, _ text: String, isAcknowledgement: Bool = false) {
        state.withLock { state in
            if isAcknowledgement { state.acknowledged += 1 }
            if let other = state.texts.updateValue(text, forKey: seq), other != text {
                state.violations.append("\(seq) is '\(other)' and '\(text)'")
            }
            if let other = state.seqs.updateValue(seq, forKey: text), other != seq {
                state.violations.append("'\(text)' is \(other) and \(seq)")
            }
        }
    }

    // MARK: The run

    /// Starts writers, readers of pages, and readers that sync.
    func start(writers count: Int, pages: Int, syncs: Int) {
        for number in 0..<count { start(writers) { self.write(number) } }
        for number in 0..<pages { start(readers) { self.read(number) } }
        for number in 0..<syncs { start(readers) { self.sync(number) } }
    }

    // Threads of their own: waiting for the network must not wait for a pool.
    private func start(_ group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
        group.enter()
        Thread.detachNewThread {
            body()
            group.leave()
        }
    }

    /// Waits until more messages are acknowledged, or something has gone wrong.
    func wait(forMore more: Int) throws {
        let enough = count + more
        try eventually("\(more) more messages are acknowledged") { count >= enough || !found.isEmpty }
    }

    /// Ends the writers, then the readers when they have everything.
    func finish() {
        state.withLock { $0.isWriting = false }
        writers.wait()
        state.withLock { $0.isReading = false }
        readers.wait()
    }

    /// An export must have all that anybody saw, under its number, and nothing twice.
    func judge(_ exported: [String]) -> [String] {
        state.withLock { state in
            var wrong = state.violations
            if Set(exported).count != exported.count { wrong.append("a message is there twice") }
            for (seq, text) in state.texts where seq > exported.count || exported[seq - 1] != text {
                wrong.append("\(seq) was '\(text)'")
            }
            for last in state.endings where last != exported.count { wrong.append("a reader ended at \(last)") }
            return wrong
        }
    }

    // MARK: Writing and reading

    /// - Returns: nil if the server is down or can't answer now.
    private func ask(
        _ step: Int, _ method: String, _ target: String, _ token: Int, body: [UInt8] = []
    ) -> Answer? {
        let headers = body.isEmpty ? [] : ["Content-Type: application/json"]
        let answer = try? RawRequest.send(
            method, target, to: url(step), token: tokens[token % tokens.count], headers: headers, body: body)
        switch answer?.status {
        case 200, 201: return answer
        case nil, 503: usleep(2_000)
        case let status?: report("\(method) was answered \(status) \(answer?.text ?? "")")
        }
        return nil
    }

    /// Sends one message after another, each until it is acknowledged, and reads it then.
    private func write(_ number: Int) {
        var (count, step) = (0, number)
        func next() -> Int {
            step += 1
            return step
        }
        while mayWrite {
            count += 1
            let text = "\(number)-\(count)"
            let body = Array("{\"conversation\":\"general\",\"text\":\"\(text)\",\"id\":\"\(text)\"}".utf8)
            var seq: Int?
            while seq == nil {
                guard mayWrite, found.isEmpty else { return }
                let answer = ask(next(), "POST", "/v1/messages", number, body: body)
                seq = answer.flatMap { try? JSON(parsing: $0.text) }?[int: "seq"]
            }
            guard let seq else { return }
            note(seq, text, isAcknowledgement: true)
            while mayWrite, found.isEmpty {
                guard let page = page(after: seq - 1, next(), number) else { continue }
                if page.messages.first?.seq != seq || page.messages.first?.text != text {
                    report("\(seq) was acknowledged, and is not read")
                }
                break
            }
        }
    }

    private func read(_ number: Int) {
        var (last, head, step) = (0, 0, number)
        follow { () -> Bool? in
            step += 1
            guard let page = page(after: last, step, number) else { return nil }
            if page.head < head { report("the head fell from \(head) to \(page.head)") }
            head = page.head
            return take(page.messages, &last)
        }
        state.withLock { $0.endings.append(last) }
    }

    private func sync(_ number: Int) {
        var (last, cursor, step) = (0, "", number)
        follow { () -> Bool? in
            step += 1
            let target = "/v1/sync?wait=1" + (cursor.isEmpty ? "" : "&cursor=\(cursor)")
            let lines = ask(step, "GET", target, number)?.text.split(separator: "\n")
            // An answer without its end is asked for again.
            guard let objects = try? lines?.map({ try JSON(parsing: String($0)) }), let end = objects.last,
                end[string: "type"] == "end", let next = end[string: "cursor"]
            else { return nil }
            cursor = next
            return take(objects.filter { $0[string: "type"] == "message" }.map(History.message), &last)
                && end[bool: "more"] == false
        }
        state.withLock { $0.endings.append(last) }
    }

    /// Reads on until the writers have ended and there is nothing more.
    /// - Parameter step: returns whether there is nothing more; nil if there was no answer.
    private func follow(_ step: () -> Bool?) {
        var deadline: Deadline?
        while found.isEmpty {
            if !mayRead { deadline = deadline ?? Deadline() }
            let isOver = deadline != nil
            if step() == true, isOver { return }
            if deadline?.leftMilliseconds == 0 { report("a reader never gets to the end") }
        }
    }

    /// - Returns: whether there is none.
    private func take(_ messages: [(seq: Int, text: String)], _ last: inout Int) -> Bool {
        for message in messages {
            guard message.seq == last + 1 else {
                report("after \(last) came \(message.seq)")
                break
            }
            last = message.seq
            note(message.seq, message.text)
        }
        return messages.isEmpty
    }

    private static func message(_ object: JSON) -> (seq: Int, text: String) {
        (object[int: "seq"] ?? 0, object[string: "text"] ?? "")
    }

    private func page(after seq: Int, _ step: Int, _ token: Int) -> (messages: [(seq: Int, text: String)], head: Int)? {
        let target = "/v1/conversations/general/messages?after=\(seq)&limit=200"
        guard let answer = ask(step, "GET", target, token), let object = try? JSON(parsing: answer.text),
            let head = object[int: "head"]
        else { return nil }
        return (object[objects: "messages"].map(History.message), head)
    }
}

internal import NatterLog
internal import NatterModel

/// The members, the name, the topic and the openness of a group, derived from the events in its log.
struct GroupHistory {
    struct Event {
        let seq: Seq
        let commit: Commit
        let actor: String
        let text: String

        /// nil for a record that is no event of this store: an imported one happened elsewhere.
        init?(_ record: Record) {
            guard record.kind == .event, !record.isImported else { return nil }
            (seq, commit) = (record.seq, record.commit)
            actor = String(decoding: record.sender, as: UTF8.self)
            text = String(decoding: record.text, as: UTF8.self)
        }
    }

    private(set) var members: [String: (isAdmin: Bool, since: Commit, adder: String?)] = [:]
    private(set) var name: String?
    private(set) var topic: String?
    private(set) var isOpen = false
    private(set) var isDeleted = false

    static func events(in records: Records) -> [Event] {
        (0..<records.count).compactMap { index in
            records.kind(at: index) == .event ? Event(records[index]) : nil
        }
    }

    /// - Parameter events: in the order of their seqs.
    init(_ events: [Event]) {
        for event in events { apply(event) }
    }

    private mutating func apply(_ event: Event) {
        let words = event.text.split(separator: " ").map(String.init)
        let subject = words.dropFirst().first
        switch (words.first, subject) {
        case ("created", _): members[event.actor] = (true, event.commit, nil)
        case ("joined", _): members[event.actor] = (false, event.commit, nil)
        case ("left", _): members[event.actor] = nil
        case ("opened", _): isOpen = true
        case ("closed", _): isOpen = false
        case ("deleted", _): isDeleted = true
        case ("added", let subject?): members[subject] = (false, event.commit, event.actor)
        case ("removed", let subject?): members[subject] = nil
        case ("promoted", let subject?): members[subject]?.isAdmin = true
        case ("demoted", let subject?): members[subject]?.isAdmin = false
        case ("renamed", _): name = words.last
        default: topic = GroupEvent.topic(in: event.text) ?? topic
        }
    }
}

/* The dispatch protocol for one execution: two workers, of which the first may hold two sessions at once, two sweepers, a
   dispatcher, a queue that forgets and repeats. Faults have a budget, so every run of the model comes to a standstill:
   progress is that it stands still only when the execution has ended. A name after -D takes one guard away. */

#ifndef LOSABLE
#define LOSABLE 2    /* attempts that may be begun, if all are lost */
#endif
#define TEARDOWNS 2  /* tries of a lost attempt's teardown on other workers */
#define SLOTS 3
#define WORKER(s) (s / 2)          /* sessions 0 and 1 belong to worker 0, session 2 to worker 1 */

#define ATTEMPT(k)      (1 << ((k) - 1))                          /* bits of commands: attempts 1..3 */
#define TEARDOWN(k, n)  (1 << (3 + ((k) - 1) * 2 + ((n) - 1)))    /* teardowns 1..2 of each */

mtype = { queued, running, owes, tearing, finished };

/* The log */
mtype status = queued;
byte attempt = 1, teardown = 0, lost = 0, owner = 0, ends = 0;
bool stepped = false, torn = false, cancelled = false, final = false;
short wishes = ATTEMPT(1);         /* events that the dispatcher has not passed yet */
byte stale = 255;                  /* a bit for each reader whose version is not the newest any more */
byte present = 0;                  /* the session that owns it now, by its slot: what the fence should amount to */

/* The lease table */
bool leased = false, missed = false;
byte lease_attempt, lease_owner;

/* Redis */
short queue = 0;
bool epoch = true, nonce = false;

/* Workers: an incarnation each (never 0), and what their sessions hold */
byte incarnation[2] = { 1, 2 };
bool crashed[SLOTS], holds[SLOTS];
byte incarnations = 2;

#ifdef TWO_SWEEPERS
#define SECOND_SWEEPER run sweeper(4);
#else
#define SECOND_SWEEPER
#endif

/* One or the other, as both together are ten times as many states. */
#ifdef TIME_OUT
#define SOMEBODY run impatient()
#else
#define SOMEBODY run canceller()
#endif
#ifdef TIME_OUT_WITHOUT_LOOK
#define STILL_WAITS (true)
#else
#define STILL_WAITS CURRENT(6)
#endif

/* Faults */
#ifndef FAULTS
#define FAULTS 2
#endif
byte faults = FAULTS;   /* SIGKILLs of a worker, losses of Redis, leases that end too soon, claims whose answer is lost,
                           acknowledgements that are lost, drains, deaths of the dispatcher: this many together */

#define HELD(s) (holds[s] && incarnation[WORKER(s)] == lease_owner)
#ifdef LEASE_OF_PROCESS
#define SILENT (leased && incarnation[0] != lease_owner && incarnation[1] != lease_owner)
#else
#define SILENT (leased && !HELD(0) && !HELD(1) && !HELD(2))
#endif
#define LOADS(i) stale = stale & ~(1 << i)
#define FORGETS(i) stale = stale | (1 << i)
#define APPENDS(i) stale = 255 & ~(1 << i)
#define FRESH(i) ((stale & (1 << i)) == 0)
#ifdef NO_VERSION_CHECK
#define CURRENT(i) (true)
#else
#define CURRENT(i) FRESH(i)
#endif
#define RUNS (status == running || status == tearing)

/* The lost attempt owes nothing any more. */
inline settle() {
  assert(!stepped || torn);
  if
  :: final -> status = finished; ends++
  :: else -> attempt++; status = queued; stepped = false; wishes = wishes | ATTEMPT(attempt)
  fi;
  torn = false; teardown = 0
}

inline end_it() { assert(status != finished); status = finished; ends++; assert(ends == 1); present = 0 }

/* Whether a session finds itself the owner in what it has loaded: the fence. */
#ifdef FENCE_WITHOUT_TEARDOWN
#define OWNS (RUNS && attempt == a && owner == mine)
#else
#define OWNS (attempt == a && owner == mine && ((t == 0 && status == running) || (t > 0 && status == tearing && teardown == t)))
#endif
proctype slot(byte s) {
  byte a, t, mine;
  short entry;
  bool owned, begun, down;
idle:
  {
    d_step { a = 0; t = 0; owned = false; begun = false; down = false; mine = 0; entry = 0; holds[s] = false; FORGETS(s) }
end_idle:
    atomic {
      if
      :: (queue & ATTEMPT(1)) -> a = 1; t = 0; entry = ATTEMPT(1)
      :: (queue & ATTEMPT(2)) -> a = 2; t = 0; entry = ATTEMPT(2)
      :: (queue & ATTEMPT(3)) -> a = 3; t = 0; entry = ATTEMPT(3)
      :: (queue & TEARDOWN(1, 1)) -> a = 1; t = 1; entry = TEARDOWN(1, 1)
      :: (queue & TEARDOWN(1, 2)) -> a = 1; t = 2; entry = TEARDOWN(1, 2)
      :: (queue & TEARDOWN(2, 1)) -> a = 2; t = 1; entry = TEARDOWN(2, 1)
      :: (queue & TEARDOWN(2, 2)) -> a = 2; t = 2; entry = TEARDOWN(2, 2)
      :: (queue & TEARDOWN(3, 1)) -> a = 3; t = 1; entry = TEARDOWN(3, 1)
      :: (queue & TEARDOWN(3, 2)) -> a = 3; t = 2; entry = TEARDOWN(3, 2)
      fi;
#ifdef ACKNOWLEDGE_FIRST
      queue = queue & ~entry;
      if :: faults > 0 -> faults--; goto idle :: skip fi;
#endif
claim:
      LOADS(s);
      mine = incarnation[WORKER(s)];
#ifndef CLAIM_WITHOUT_STATE
      if
      :: t == 0 && status == queued && attempt == a -> skip
      :: t > 0 && status == owes && attempt == a && teardown + 1 == t -> skip
      :: else -> queue = queue & ~entry; entry = 0; goto idle      /* stale, and it will never be otherwise */
      fi
#endif
    }
    if
    :: atomic { FRESH(s) ->
         assert(!(status == finished) && !RUNS);
         status = (t == 0 -> running : tearing); owner = mine; teardown = t; torn = false;
         if :: t == 0 -> stepped = false :: else -> skip fi;
         leased = true; missed = false; lease_attempt = a; lease_owner = mine;
         present = s + 1; APPENDS(s); owned = true; holds[s] = true }
    :: atomic { !FRESH(s) ->
#ifdef CONFLICT_GIVES_UP
         goto acknowledge
#else
         goto claim
#endif
       }
    fi;
acknowledge:
    atomic {
      if
      :: faults > 0 -> faults--                /* the acknowledgement is lost: the entry comes again */
      :: queue = queue & ~entry
      :: faults > 0 && owned -> faults--; holds[s] = false; entry = 0; goto idle      /* it never learns of its claim */
      fi;
      entry = 0;
      if :: owned -> skip :: else -> goto idle fi
    }
work:
    do
    :: !owned -> goto idle
    :: atomic { owned && !(leased && lease_owner == mine) -> owned = false }   /* the heartbeat's answer lacks it */
    :: atomic { owned && CURRENT(s) && t == 0 && !begun -> assert(present == s + 1); begun = true; stepped = true; APPENDS(s) }
    :: atomic { owned && CURRENT(s) && (begun || t > 0) && !down ->
         assert(present == s + 1); down = true; APPENDS(s);
         if :: t == 0 -> torn = true :: else -> skip fi }
    :: atomic { owned && CURRENT(s) && down ->
         assert(present == s + 1); APPENDS(s); leased = false; owned = false; present = 0;
         if
         :: t == 0 -> end_it()
#ifdef BLIND_RETRY
           if :: faults > 0 -> faults--; ends++; assert(ends == 1) :: else -> skip fi
#endif
         :: else -> torn = true; settle()
         fi }
    :: atomic { owned && CURRENT(s) && faults > 0 && t == 0 && !down ->
         assert(present == s + 1); faults--; APPENDS(s); leased = false; owned = false; present = 0;
         final = cancelled; teardown = 0;
         if
         :: stepped -> status = owes; wishes = wishes | TEARDOWN(attempt, 1)
         :: else -> settle()
         fi }
    :: atomic { owned && !CURRENT(s) -> LOADS(s); if :: OWNS -> skip :: else -> owned = false fi }
    od
  } unless {
    d_step { crashed[s] -> crashed[s] = false }
  };
  goto idle
}

/* SIGKILL of a worker: all that it held is forgotten, and another incarnation begins. */
proctype crasher() {
end_crash:
  do
  :: atomic { faults > 0 && (holds[0] || holds[1]) -> faults--; crashed[0] = true; crashed[1] = true; holds[0] = false; holds[1] = false;
       incarnations++; incarnation[0] = incarnations }
  :: atomic { faults > 0 && holds[2] -> faults--; crashed[2] = true; holds[2] = false; incarnations++; incarnation[1] = incarnations }
  :: atomic { faults > 0 -> faults--; queue = 0; epoch = false; nonce = false }
  od
}

proctype dispatcher() {
end_dispatch:
  do
#ifdef TRACK_FIRST
  :: atomic { wishes != 0 -> if :: queue = queue | wishes :: faults > 0 -> faults-- fi; wishes = 0 }
#else
  :: atomic { wishes != 0 -> queue = queue | wishes; if :: wishes = 0 :: faults > 0 -> faults-- fi }
#endif
  od
}

#ifdef ANY_LEASE
#define TO_TAKE ((seen == running || seen == tearing) && seen_attempt == la)
#else
#define TO_TAKE ((seen == running || seen == tearing) && seen_attempt == la && seen_owner == lo)
#endif

/* The sweeper's look at the queue's epoch. */
proctype restorer() {
  short sent;
end_restore:
#ifdef NO_RESTORE
  false;
#endif
  do
  :: atomic { !epoch && !nonce -> nonce = true; sent = 0;
       if
       :: status == queued -> sent = ATTEMPT(attempt)
       :: status == owes -> sent = TEARDOWN(attempt, teardown + 1)
       :: else -> skip
       fi };
     atomic { queue = queue | sent; sent = 0; if :: nonce -> epoch = true; nonce = false :: else -> skip fi }
  od
}

proctype sweeper(byte r) {
  byte la, lo, seen_attempt, seen_owner; mtype seen;
end_sweep:
#ifdef NO_SWEEP
  false;
#endif
  do
  :: atomic { SILENT -> missed = true; la = lease_attempt; lo = lease_owner }
     goto load
  :: atomic { leased && faults > 0 -> faults--; missed = true; la = lease_attempt; lo = lease_owner }
     goto load
  od;
load:
  atomic { LOADS(r); seen = status; seen_attempt = attempt; seen_owner = owner }
  if
  :: atomic { TO_TAKE -> if
       :: CURRENT(r) -> present = 0; APPENDS(r); leased = false;
          if
          :: status == running ->
               final = (cancelled || lost + 1 >= LOSABLE); lost++; teardown = 0;
#ifdef END_WITHOUT_TEARDOWN
               if :: final -> status = finished; ends++; assert(!stepped) :: else -> skip fi;
#endif
               if
               :: status == finished -> skip
               :: status != finished && stepped -> status = owes; torn = false; wishes = wishes | TEARDOWN(attempt, 1)
               :: else -> settle()
               fi
          :: status == tearing && teardown < TEARDOWNS -> status = owes; wishes = wishes | TEARDOWN(attempt, teardown + 1)
          :: status == tearing && teardown == TEARDOWNS -> torn = true; settle()    /* given up */
          :: else -> skip
          fi
       :: else -> skip
       fi }
  :: else ->
     atomic { if
#ifdef ANY_LEASE
       :: leased && lease_attempt == la -> leased = false
#else
       :: leased && lease_attempt == la && lease_owner == lo && missed -> leased = false
#endif
       :: else -> skip
       fi;
       assert(!RUNS || leased) }
  fi;
  atomic { la = 0; lo = 0; FORGETS(r); seen = 0; seen_attempt = 0; seen_owner = 0; goto end_sweep }
}

proctype canceller() {
  mtype seen;
  if :: skip :: goto done fi;
load:
  atomic { LOADS(5); seen = status }
  if
  :: seen == finished -> skip
  :: else ->
     if
     :: atomic { CURRENT(5) && status != finished -> APPENDS(5); cancelled = true;
          if
          :: status == queued -> end_it()
          :: status == owes || status == tearing -> final = true
          :: else -> skip
          fi }
     :: atomic { !FRESH(5) -> goto load }
     fi
  fi;
done:
  atomic { FORGETS(5); seen = 0 }
}

/* The sweeper ends what has waited too long: an attempt, or a lost attempt's teardown that nobody takes. At most once here. */
proctype impatient() {
  mtype seen;
  if :: skip :: goto done fi;
end_wait:
  atomic { status == queued || status == owes -> LOADS(6); seen = status }
  atomic { if
    :: STILL_WAITS -> APPENDS(6);
       if
       :: seen == queued -> end_it()
       :: else -> torn = true; settle()
       fi
    :: else -> skip     /* a worker or a cancel was faster: the next look decides again */
    fi };
done:
  atomic { FORGETS(6); seen = 0 }
}

/* When nothing can happen any more, the execution has ended. */
active proctype judge() {
  timeout -> assert(status == finished && ends == 1); assert(!leased)
}

init {
  atomic { run slot(0); run slot(1); run slot(2); run crasher(); run dispatcher(); run restorer(); run sweeper(3); SECOND_SWEEPER SOMEBODY }
}

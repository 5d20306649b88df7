// SPDX-License-Identifier: MIT

// Go's side of the chan-* benches; see bench/chan.h for the shapes and weir_chan.c for their twins.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	capacity    = 128
	selectMax   = 64
	sievePrimes = 1229
)

type channels [selectMax]chan uint64

var (
	size  int
	count uint64
	bound bool // each goroutine to a thread of its own
	tasks sync.WaitGroup
	begun time.Time
)

func fail(words string) {
	fmt.Println(words)
	os.Exit(1)
}

func start(task func()) {
	tasks.Add(1)
	go func() {
		if bound {
			runtime.LockOSThread()
		}
		task()
		tasks.Done()
	}()
}

// --- Kinds of task

func expect(value, expected uint64) {
	if value != expected {
		fail("a channel brought another value than was sent")
	}
}

func sender(output chan<- uint64, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		output <- turn
	}
}

// From several senders.
func receiver(input <-chan uint64, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		<-input
	}
}

// From one sender, in order.
func follower(input <-chan uint64, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		expect(<-input, turn)
	}
}

func asker(input <-chan uint64, output chan<- uint64, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		output <- turn
		expect(<-input, turn)
	}
}

func relay(input <-chan uint64, output chan<- uint64, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		output <- <-input
	}
}

func rotatingAsker(input <-chan uint64, outputs *channels, width, count uint64) {
	for turn := uint64(0); turn < count; turn++ {
		outputs[turn%width] <- turn
		expect(<-input, turn)
	}
}

// --- Shapes

func pair() {
	channel := make(chan uint64, 1)
	start(func() { asker(channel, channel, count) })
}

func rendezvous() {
	there, back := make(chan uint64), make(chan uint64)
	start(func() { asker(back, there, count) })
	start(func() { relay(there, back, count) })
}

func stream() {
	channel := make(chan uint64, size)
	start(func() { sender(channel, count) })
	start(func() { follower(channel, count) })
}

func selectReady() {
	inputs := new(channels)
	for index := 0; index < size; index++ {
		inputs[index] = make(chan uint64, 1)
		inputs[index] <- uint64(index)
	}
	start(func() { selectors[size](inputs, inputs, count) })
}

func selectParked() {
	inputs, outputs := new(channels), new(channels)
	back := make(chan uint64)
	for index := 0; index < size; index++ {
		inputs[index] = make(chan uint64)
		outputs[index] = back
	}
	start(func() { selectors[size](inputs, outputs, count) })
	start(func() { rotatingAsker(back, inputs, uint64(size), count) })
}

func mpmc() {
	channel := make(chan uint64, capacity)
	for index := 0; index < size; index++ {
		start(func() { sender(channel, count/uint64(size)) })
	}
	for index := 0; index < size; index++ {
		start(func() { receiver(channel, count/uint64(size)) })
	}
}

func fanin() {
	channel := make(chan uint64, capacity)
	for index := 0; index < size; index++ {
		start(func() { sender(channel, count/uint64(size)) })
	}
	start(func() { receiver(channel, count) })
}

func ring() {
	turns := count / uint64(size)
	first := make(chan uint64)
	input := make(chan uint64)
	second := input
	start(func() { asker(first, second, turns) })
	for index := 1; index < size; index++ {
		from, to := input, first
		if index+1 < size {
			to = make(chan uint64)
		}
		start(func() { relay(from, to, turns) })
		input = to
	}
}

// --- The shapes that end by a close

func feeder(output chan<- uint64, count uint64) {
	sender(output, count)
	close(output)
}

type job struct {
	value  uint64
	result chan<- uint64
}

func dispatcher(input <-chan uint64, jobs chan<- job, order chan<- (<-chan uint64)) {
	for value := range input {
		result := make(chan uint64, 1)
		order <- result
		jobs <- job{value, result}
	}
	close(jobs)
	close(order)
}

func worker(jobs <-chan job) {
	for job := range jobs {
		job.result <- job.value
	}
}

func collector(order <-chan (<-chan uint64), output chan<- uint64) {
	for result := range order {
		output <- <-result
	}
	close(output)
}

func pipeline() {
	input, output := make(chan uint64, capacity), make(chan uint64, capacity)
	jobs, order := make(chan job), make(chan (<-chan uint64), size)
	start(func() { dispatcher(input, jobs, order) })
	for index := 0; index < size; index++ {
		start(func() { worker(jobs) })
	}
	start(func() { collector(order, output) })
	start(func() { feeder(input, count) })
	start(func() { follower(output, count) })
}

func spreader(input <-chan uint64, outputs []chan uint64) {
	for value := range input {
		for _, output := range outputs {
			output <- value
		}
	}
	for _, output := range outputs {
		close(output)
	}
}

func mult() {
	input, outputs := make(chan uint64, capacity), make([]chan uint64, size)
	for index := range outputs {
		output := make(chan uint64, capacity)
		outputs[index] = output
		start(func() { follower(output, count) })
	}
	start(func() { spreader(input, outputs) })
	start(func() { feeder(input, count) })
}

func filter(input <-chan uint64, output chan<- uint64, prime uint64) {
	for number := range input {
		if number%prime != 0 {
			output <- number
		}
	}
	close(output)
}

func sieve() {
	input := make(chan uint64)
	numbers := input
	start(func() { feeder(numbers, uint64(size)) })
	<-input
	<-input // neither 0 nor 1 is a prime
	found := 0
	for prime, open := <-input; open; prime, open = <-input {
		from, to, divisor := input, make(chan uint64), prime
		start(func() { filter(from, to, divisor) })
		input = to
		found++
	}
	if found != sievePrimes {
		fail(fmt.Sprintf("the sieve found %d primes", found))
	}
}

func closeAll() {
	channel := make(chan uint64)
	parked := 0 // one thread runs all of it
	for index := 0; index < size; index++ {
		start(func() {
			parked++
			<-channel
		})
		if index%64 == 0 {
			runtime.Gosched()
		}
	}
	for parked < size {
		runtime.Gosched()
	}
	begun = time.Now()
	close(channel)
}

func number(text string) uint64 {
	value, problem := strconv.ParseUint(text, 10, 64)
	if problem != nil {
		fail("not a number: " + text)
	}
	return value
}

func main() {
	shapes := map[string]func(){
		"pair": pair, "rendezvous": rendezvous, "stream": stream, "select": selectReady,
		"select-parked": selectParked, "mpmc": mpmc, "fanin": fanin, "ring": ring,
		"pipeline": pipeline, "mult": mult, "sieve": sieve, "close": closeAll,
	}
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(runtime.Version())
		return
	}
	bound = len(os.Args) == 6 && os.Args[5] == "bound"
	if (len(os.Args) != 5 && !bound) || shapes[os.Args[1]] == nil {
		fail("usage: chan-go SHAPE SIZE LOOPS OPERATIONS [bound]")
	}
	size = int(number(os.Args[2]))
	count = number(os.Args[4])
	runtime.GOMAXPROCS(int(number(os.Args[3])))
	begun = time.Now()
	shapes[os.Args[1]]()
	tasks.Wait()
	fmt.Println(time.Since(begun).Nanoseconds())
}
